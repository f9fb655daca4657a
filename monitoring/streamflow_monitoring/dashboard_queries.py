"""The queries of the committed dashboards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from streamflow_monitoring.files import DASHBOARDS_FOLDER

# Grafana replaces its variables by these values; ".*" means all.
_CHOSEN = {"$namespace": ".*", "$job": ".*", "$__rate_interval": "1m"}


@dataclass(frozen=True)
class PanelQuery:
    """One query of a panel."""

    dashboard: str
    panel: str
    expression: str

    def asked(self) -> str:
        """Return the query as Grafana asks it when all namespaces and jobs are chosen."""
        text = self.expression
        for variable, value in _CHOSEN.items():
            text = text.replace(variable, value)
        return text


def panel_queries() -> Iterator[PanelQuery]:
    """Yield the queries of all dashboards in the order in which they are shown."""
    for path in sorted(DASHBOARDS_FOLDER.glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield PanelQuery(dashboard["title"], panel["title"], target["expr"])
