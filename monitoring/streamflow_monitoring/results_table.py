"""What the dashboards' queries give, as a page in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from streamflow_monitoring.dashboard_queries import PanelQuery
from streamflow_monitoring.prometheus import Series

_SHOWN = 2
_HEAD = """\
# What the dashboards show

Written by `.venv/bin/monitoring results --out FILE`: how many series the query of each panel gives, and the first of
them, with their labels' values. The queries have Grafana's variables.
"""


def page(results: Iterable[tuple[PanelQuery, Sequence[Series]]]) -> str:
    """Return a table for each dashboard, with a row for each query."""
    return _HEAD + "".join(
        f"\n## {dashboard}\n\n| panel | query | series | such as |\n|---|---|---|---|\n{''.join(map(_row, rows))}"
        for dashboard, rows in groupby(results, key=lambda result: result[0].dashboard)
    )


def _row(result: tuple[PanelQuery, Sequence[Series]]) -> str:
    query, found = result
    some = "; ".join(_described(found[:_SHOWN]))
    return f"| {query.panel} | `{_cell(query.expression)}` | {len(found)} | {_cell(some)} |\n"


def _described(found: Sequence[Series]) -> Iterator[str]:
    for series in found:
        labels = " ".join(value for name, value in series.labels.items() if name != "__name__")
        yield f"{labels} {series.value:.4g}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
