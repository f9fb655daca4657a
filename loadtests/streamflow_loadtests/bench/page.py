"""A run's figures as a page."""

from streamflow_offline.html import Section, Table, html_page, lines

from streamflow_loadtests.bench.figures import spreads
from streamflow_loadtests.bench.result import Result, conditions
from streamflow_loadtests.bench.tables import tables

_PLOTS = {"vectors_per_s": "feature vectors/s", "p50_ms": "p50 in ms", "p99_ms": "p99 in ms"}


def bench_page(result: Result) -> str:
    """Return what was measured as a page: plots against callers, and the tables of the terminal."""
    facts = {
        "machine": f"{result.machine.cores} cores of {result.machine.processor}, {result.machine.memory_gb:g} GB",
        "at": result.machine.at,
        **{arm.name: arm.what for arm in result.arms},
    }
    under = Table(header=("what the figures were measured on, and how",), rows=[(line,) for line in conditions(result)])
    measured = [
        Section(
            title=table.title[0].upper() + table.title[1:],
            table=Table(header=table.header, rows=table.rows),
        )
        for table in tables(result)
    ]
    sections = [*_plots(result), *measured, Section(title="Conditions", table=under)]
    return html_page("Benchmark", facts=facts, sections=sections)


def _plots(result: Result) -> list[Section]:
    sections = []
    for users in sorted({workload.users for workload in result.settings.workloads if not workload.apart}):
        for name, title in _PLOTS.items():
            series = _series(result, name, users=users)
            if any(len(points) > 1 for points in series.values()):
                each = "1 user" if users == 1 else f"{users} users"
                says = f"{title} of each arm against the number of callers; the tables have the numbers."
                picture = lines(series, x_title="callers", title=title, log=True)
                sections.append(Section(title=f"{title}, {each} a call", picture=picture, picture_says=says))
    return sections


def _series(result: Result, name: str, *, users: int) -> dict[str, list[tuple[float | str, float]]]:
    series: dict[str, list[tuple[float | str, float]]] = {}
    for workload in result.settings.workloads:
        if workload.users != users or workload.apart:
            continue
        for arm in result.arms:
            spread = spreads(result.cells, arm=arm.name, workload=workload)[name]
            if spread is not None:
                series.setdefault(arm.name, []).append((workload.callers, spread.median))
    return series
