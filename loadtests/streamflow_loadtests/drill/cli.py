"""`drill`: what `make drill` runs."""

import json
import signal
import sys
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

from streamflow_loadtests.arms import FAR, STACK, Arm
from streamflow_loadtests.drill.faults import FAULTS, Fault
from streamflow_loadtests.drill.overload import Overload, overload
from streamflow_loadtests.drill.run import Outcome, drill
from streamflow_loadtests.report import Machine
from streamflow_loadtests.run import BenchmarkError, Plan, served, wait_for_all
from streamflow_loadtests.servers import Servers

OVERLOAD = "five times overload"

_out = Console(highlight=False, width=160)

app = typer.Typer(add_completion=False)


@app.command()
def drills(
    *,
    only: Annotated[list[str] | None, typer.Option(help="A fault to do, by its name; all by default.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=2000, help="Calls a second under which faults happen.")] = 200.0,
    timeout_ms: Annotated[float, typer.Option(min=10, max=10_000, help="Every call's deadline.")] = 250.0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Do each fault to a stack of the drill's own under steady load; exit 1 when one is not survived as expected."""
    names = [fault.name for fault in FAULTS] + [OVERLOAD]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such fault; there are {', '.join(names)}")
    chosen = [fault for fault in FAULTS if fault.name in (only or names)]
    overloaded = OVERLOAD in (only or names)
    plan = Plan(
        arms=[STACK, *([FAR] if overloaded else [])],
        callers=[],
        rounds=0,
        duration_s=0,
        warm_up_s=0,
        seed=0,
    )
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-drill-", ignore_cleanup_errors=True) as work,
        served(plan, months=data, work=Path(work), say=_say) as (arms, servers),
    ):
        outcomes, overload_result = uvloop.run(
            _all(arms, servers, chosen, overloaded=overloaded, rate=rate, timeout_s=timeout_ms / 1000)
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
    complaints = [complaint for outcome in outcomes for complaint in outcome.complaints]
    if overload_result is not None:
        complaints += overload_result.complaints
    if complaints:
        raise typer.Exit(1)


def main() -> None:
    """Run the drills; one that can't be done is told in its own words, without a traceback, and exits 1."""
    # As Ctrl-C does, so that the servers are ended in either case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except (BenchmarkError, JobError, TimeoutError) as error:
        sys.exit(f"\nno drill: {error}")


async def _all(
    arms: Sequence[Arm], servers: Servers, faults: Sequence[Fault], *, overloaded: bool, rate: float, timeout_s: float
) -> tuple[list[Outcome], Overload | None]:
    await wait_for_all(arms, servers)
    outcomes = []
    for fault in faults:
        _say(fault.name)
        outcomes.append(await drill(fault, arms[0], servers, calls_per_s=rate, timeout_s=timeout_s))
    if not overloaded:
        return outcomes, None
    _say(OVERLOAD)
    return outcomes, await overload(arms[1], servers, timeout_s=timeout_s)


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _show(outcomes: Sequence[Outcome], result: Overload | None, *, rate: float, timeout_ms: float) -> None:
    _out.print(f"\n{rate:g} calls a second, each with a deadline of {timeout_ms:g} ms\n")
    table = rich.table.Table(box=None)
    for name in ("fault", "calls", "failed", "longest ms", "past deadline ms", "back after s", "as expected"):
        table.add_column(name, justify="left" if name in {"fault", "failed", "as expected"} else "right")
    for outcome in outcomes:
        failed = ", ".join(f"{count} {code}" for code, count in sorted(outcome.failed.items())) or "none"
        table.add_row(
            outcome.fault,
            f"{outcome.calls:,}",
            failed,
            f"{outcome.longest_ms:.0f}",
            f"{max(outcome.past_deadline_ms, 0):.1f}",
            f"{outcome.back_s:.2f}",
            "; ".join(outcome.complaints) or "yes",
        )
    _out.print(table)
    if result is not None:
        codes = ", ".join(f"{count:,} {code}" for code, count in sorted(result.by_code.items()))
        _out.print(
            f"\n{OVERLOAD}: peak {result.peak_per_s:,.0f} calls/s, offered {result.offered_per_s:,.0f}, "
            f"answered {result.answered_per_s:,.0f} ({result.goodput:.0%} of the peak); {codes}; refused in "
            f"{result.refused_ms['p50']:.1f} ms (p50), {result.refused_ms['p99']:.1f} ms (p99), "
            f"{result.refused_ms['max']:.1f} ms (max); memory {result.rss_mb[0]:.0f} MB after 1 s, "
            f"{result.rss_mb[-1]:.0f} MB after {len(result.rss_mb)} s; as expected: "
            f"{'; '.join(result.complaints) or 'yes'}",
            soft_wrap=True,
        )
