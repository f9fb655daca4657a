"""The generated files of this folder and of k8s: what is committed has to be what is made."""

from collections.abc import Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from streamflow_monitoring import prometheus_rules
from streamflow_monitoring.boards import DASHBOARDS
from streamflow_monitoring.rules import CHECKOUT

FOLDER = CHECKOUT / "monitoring"
DASHBOARDS_FOLDER = FOLDER / "dashboards"


def made() -> Mapping[Path, str]:
    """Return the text of each generated file, by its path."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    dashboards = {
        DASHBOARDS_FOLDER / f"{name}.json": f"{encoder.encode(dashboard().build())}\n"
        for name, dashboard in DASHBOARDS.items()
    }
    return {**dashboards, FOLDER / "prometheus-rules.yaml": prometheus_rules.text()}


def outdated() -> list[Path]:
    """Return the generated files that are not as they would be made."""
    return [path for path, text in made().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write() -> None:
    """Write the generated files."""
    for path, text in made().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
