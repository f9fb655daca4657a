"""What came of a soak, as a page."""

from streamflow_offline.html import Section, Table, html_page, lines

from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.soak.run import MEMORY_AT, SoakResult, SoakSettings


def soak_page(result: SoakResult, *, plan: SoakSettings, machine: Machine) -> str:
    """Return calls, the longest of them, and each process's memory as a page."""
    failed = ", ".join(f"{count:,} {code}" for code, count in sorted(result.failed.items())) or "none"
    facts = {
        "as expected": result.verdict,
        "calls": result.calls,
        "failed": failed,
        "duration": f"{plan.duration_s / 60:g} min",
        "calls a second": f"{result.calls_per_s:,.0f} of {result.capacity_per_s:,.0f} that can be answered",
        "p50": f"{result.p50_ms:.1f} ms",
        "p99": f"{result.p99_ms:.1f} ms",
        "p99.9": f"{result.p999_ms:.1f} ms",
        "replicas replaced": result.recycled,
        "client late by up to": f"{result.client_late_ms:.0f} ms",
        "machine": f"{machine.cores} cores of {machine.processor}, {machine.memory_gb:g} GB",
        "at": machine.at,
    }
    longest = [(round(call.ms), round(call.at_s, 1), call.after) for call in result.longest]
    sections = [
        Section(title="Longest calls", table=Table(header=("ms", "at s", "last replaced"), rows=longest)),
        _memory(result, plan),
    ]
    return html_page("Soak", passed=result.verdict == "yes", facts=facts, sections=sections)


def _memory(result: SoakResult, plan: SoakSettings) -> Section:
    minutes = [share * plan.duration_s / 60 for share in MEMORY_AT]
    series: dict[str, list[tuple[float | str, float]]] = {
        name: list(zip(minutes, taken, strict=True)) for name, taken in result.memory_mb.items()
    }
    rows = [(name, *(round(megabytes, 1) for megabytes in taken)) for name, taken in result.memory_mb.items()]
    return Section(
        title="Memory in MB",
        picture=lines(series, x_title="minutes", title="MB"),
        picture_says="Each process's memory over time; the table has the numbers.",
        table=Table(header=("process", *(f"after {share:.0%}" for share in MEMORY_AT)), rows=rows),
    )
