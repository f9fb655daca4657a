"""What came of drills, as a page."""

from collections.abc import Mapping, Sequence

from streamflow_offline.html import Section, Table, bars, html_page, lines

from streamflow_loadtests.drill.outcome import Outcome
from streamflow_loadtests.drill.overload import OVERLOAD, Overload
from streamflow_loadtests.measuring.machine import Machine

_HEADER = (
    *("fault", "as expected", "calls", "failed", "longest ms", "past deadline ms", "client late ms"),
    "back after s",
)


def drill_page(
    outcomes: Sequence[Outcome], result: Overload | None, *, machine: Machine, rate: float, timeout_ms: float
) -> str:
    """Return each fault with what calls got, and the overload, as a page."""
    verdicts = [outcome.verdict for outcome in outcomes] + ([result.verdict] if result is not None else [])
    not_expected = sum(verdict != "yes" for verdict in verdicts)
    facts = {
        "as expected": f"{len(verdicts) - not_expected} of {len(verdicts)}",
        "calls a second": rate,
        "deadline": f"{timeout_ms:g} ms",
        "machine": f"{machine.cores} cores of {machine.processor}, {machine.memory_gb:g} GB",
        "at": machine.at,
    }
    sections = [_faults(outcomes)] if outcomes else []
    if result is not None:
        sections.append(_overload(result))
    return html_page("Drill", passed=not not_expected, facts=facts, sections=sections)


def _faults(outcomes: Sequence[Outcome]) -> Section:
    back = {outcome.fault: outcome.back_s for outcome in outcomes}
    return Section(
        title="Faults",
        picture=bars(back, title="seconds from the end of the fault to the end of the last call that failed"),
        picture_says="How soon service was back after each fault; the table has the numbers.",
        table=Table(
            header=_HEADER,
            rows=[
                (
                    *(outcome.fault, outcome.verdict, outcome.calls, _codes(outcome.failed)),
                    *(round(outcome.longest_ms), round(max(outcome.past_deadline_ms, 0), 1)),
                    *(round(outcome.client_late_ms), round(outcome.back_s, 2)),
                )
                for outcome in outcomes
            ],
        ),
    )


def _overload(result: Overload) -> Section:
    memory: list[tuple[float | str, float]] = list(enumerate(result.rss_mb, start=1))
    return Section(
        title=OVERLOAD.capitalize(),
        picture=lines({"gateway": memory}, x_title="seconds", title="memory in MB"),
        picture_says="The gateway's memory, every second.",
        table=Table(
            header=("figure", "value"),
            rows=[
                ("as expected", result.verdict),
                ("peak, calls/s", round(result.peak_per_s)),
                ("offered, calls/s", round(result.offered_per_s)),
                ("answered, calls/s", round(result.answered_per_s)),
                ("answered, share of the peak", f"{result.goodput:.0%}"),
                ("calls by code", _codes(result.by_code)),
                *((f"refused in ms, {name}", round(value, 1)) for name, value in result.refused_ms.items()),
            ],
        ),
    )


def _codes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in sorted(counts.items())) or "none"
