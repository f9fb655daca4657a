"""`drill`: what `make drill` runs."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import rich.table
import typer
import uvloop
from rich.console import Console
from streamflow_offline.errors import JobError
from streamflow_offline.html import refuse_html, write_html

from streamflow_loadtests.bed.bed import Bed, BedError, stack_bed
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.drill.alerts import ALERTS
from streamflow_loadtests.drill.catalogue import FAULTS, Fault
from streamflow_loadtests.drill.outcome import Outcome, drill, undone
from streamflow_loadtests.drill.overload import OVERLOAD, Overload, overload
from streamflow_loadtests.drill.page import drill_page
from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.measuring.punctual import keep_to_schedule
from streamflow_loadtests.run_command import run_command

_out = Console(highlight=False, width=160)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def drills(
    *,
    only: Annotated[list[str] | None, typer.Option(help="A fault to do, by its name; all by default.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Calls a second under which faults happen.")] = 200.0,
    timeout_ms: Annotated[float, typer.Option(min=10, max=10_000, help="Every call's deadline.")] = 250.0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write the report as a page to this file.")] = None,
) -> None:
    """Do each fault to a stack of the drill's own under steady load; exit 1 when one is not survived as expected."""
    names = [fault.name for fault in FAULTS] + [OVERLOAD]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such fault; there are {', '.join(names)}")
    refuse_html(html_file)
    chosen = [fault for fault in FAULTS if fault.name in (only or names)]
    overloaded = OVERLOAD in (only or names)
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-drill-", ignore_cleanup_errors=True) as work,
        stack_bed(months=data, work=Path(work), say=_say) as found,
    ):
        outcomes, overload_result = uvloop.run(
            _all(found, chosen, overloaded=overloaded, rate=rate, timeout_s=timeout_ms / 1000)
        )
    _show(outcomes, overload_result, rate=rate, timeout_ms=timeout_ms)
    if as_json is not None:
        content = {
            "machine": asdict(Machine.here()),
            "calls_per_s": rate,
            "timeout_ms": timeout_ms,
            "faults": [asdict(outcome) for outcome in outcomes],
            "overload": None if overload_result is None else asdict(overload_result),
        }
        as_json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if html_file is not None:
        page = drill_page(outcomes, overload_result, machine=Machine.here(), rate=rate, timeout_ms=timeout_ms)
        write_html(html_file, page)
    verdicts = {outcome.verdict for outcome in outcomes}
    if overload_result is not None:
        verdicts.add(overload_result.verdict)
    if verdicts - {"yes"}:
        raise typer.Exit(1)


def main() -> None:
    """Run the drills; an error is one message without a traceback, and the exit code is 1."""
    run_command(app, errors=(BedError, CallError, JobError, TimeoutError), failed="no drill: ")


async def _all(
    bed: Bed, faults: Sequence[Fault], *, overloaded: bool, rate: float, timeout_s: float
) -> tuple[list[Outcome], Overload | None]:
    keep_to_schedule()
    async with bed.asking():
        pass
    outcomes = []
    for number, fault in enumerate(faults, start=1):
        _say(f"{number} of {len(faults)}: {fault.name}")
        try:
            outcomes.append(await drill(fault, bed, calls_per_s=rate, timeout_s=timeout_s))
        except* Exception as errors:  # noqa: BLE001  # whatever it was, the others are still to be done
            outcomes.append(undone(fault, _first(errors)))
    if not overloaded:
        return outcomes, None
    _say(OVERLOAD)
    return outcomes, await overload(bed, timeout_s=timeout_s)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _show(outcomes: Sequence[Outcome], result: Overload | None, *, rate: float, timeout_ms: float) -> None:
    _out.print(f"\n{rate:g} calls a second, each with a deadline of {timeout_ms:g} ms\n")
    table = rich.table.Table(box=None)
    for name in (
        "fault",
        "calls",
        "failed",
        "longest ms",
        "past deadline ms",
        "client late ms",
        "back after s",
        "as expected",
        "raises",
    ):
        table.add_column(name, justify="left" if name in {"fault", "failed", "as expected", "raises"} else "right")
    for outcome in outcomes:
        failed = ", ".join(f"{count} {code}" for code, count in sorted(outcome.failed.items())) or "none"
        table.add_row(
            outcome.fault,
            f"{outcome.calls:,}",
            failed,
            f"{outcome.longest_ms:.0f}",
            f"{max(outcome.past_deadline_ms, 0):.1f}",
            f"{outcome.client_late_ms:.0f}",
            f"{outcome.back_s:.2f}",
            outcome.verdict,
            ", ".join(sorted(ALERTS[outcome.fault].raised)) or "none",
        )
    _out.print(table)
    _out.print("\nraises: the alerts when it lasts for minutes; docs/runbook.md says what to do")
    if result is not None:
        codes = ", ".join(f"{count:,} {code}" for code, count in sorted(result.by_code.items()))
        _out.print(
            f"\n{OVERLOAD}: peak {result.peak_per_s:,.0f} calls/s, offered {result.offered_per_s:,.0f}, "
            f"answered {result.answered_per_s:,.0f} ({result.goodput:.0%} of the peak); {codes}; refused in "
            f"{result.refused_ms['p50']:.1f} ms (p50), {result.refused_ms['p99']:.1f} ms (p99), "
            f"{result.refused_ms['max']:.1f} ms (max); memory {result.rss_mb[0]:.0f} MB after 1 s, "
            f"{result.rss_mb[-1]:.0f} MB after {len(result.rss_mb)} s; as expected: "
            f"{result.verdict}",
            soft_wrap=True,
        )
