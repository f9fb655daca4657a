"""`bench`: what `make bench` runs."""

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import rich.table
import typer
import uvloop
from rich.console import Console
from streamflow_offline.errors import JobError

from streamflow_loadtests import arms, report
from streamflow_loadtests.report import Machine, Result
from streamflow_loadtests.run import BenchmarkError, Plan, measure, served

# The table of figures needs as much; a narrower terminal breaks its lines.
_out = Console(highlight=False, width=200)

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="1 and 64 callers, two rounds of half a second.")] = False,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            help=f"An arm to measure; of {', '.join(arms.ALL_ARMS)}, or gateway-NxM for a gateway with reads of up to "
            "N users, M at once. Feast's own servers and the gateway by default."
        ),
    ] = None,
    callers: Annotated[list[int] | None, typer.Option(help="Concurrent callers; 1, 16, 64 and 256 by default.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each arm is measured; 3 by default.")] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.05, max=600, help="Seconds of load on each arm in each round; 3 by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed asks for the same users.")] = 0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the report to this file too.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
) -> None:
    """Measure Feast's own servers and the gateway side by side; refuse to compare when a reply is wrong."""
    plan = Plan(
        arms=_arms(arm),
        callers=callers or ([1, 64] if quick else [1, 16, 64, 256]),
        rounds=rounds or (2 if quick else 3),
        duration_s=duration or (0.5 if quick else 3.0),
        warm_up_s=0.3,
        seed=seed,
    )
    result = _run(plan, data)
    _show(result)
    if markdown is not None:
        markdown.write_text(report.markdown(result), encoding="utf-8")
    if as_json is not None:
        as_json.write_text(json.dumps(report.as_json(result), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark; one that can't be compared is told in its own words, without a traceback, and exits 1."""
    # As Ctrl-C does, so that the servers are ended in either case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except (BenchmarkError, JobError, TimeoutError) as error:
        sys.exit(f"\nno comparison: {error}")


def _arms(chosen: list[str] | None) -> list[str]:
    unknown = sorted(name for name in set(chosen or ()) if not arms.exists(name))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such arm; there are {', '.join(arms.ALL_ARMS)}, gateway-N")
    return list(dict.fromkeys(chosen or arms.DEFAULT_ARMS))


def _run(plan: Plan, months: Path | None) -> Result:
    machine = Machine.here()
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-bench-", ignore_cleanup_errors=True) as work,
        served(plan, months=months, work=Path(work), say=_say) as (chosen, servers),
    ):
        cells = uvloop.run(measure(plan, chosen, servers, say=_say))
    return Result(plan=plan, machine=machine, arms=chosen, cells=cells)


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _show(result: Result) -> None:
    _out.print()
    for arm in result.arms:
        _out.print(f"{arm.name:<8} {arm.what}", soft_wrap=True, markup=False)
    _out.print()
    for line in report.conditions(result):
        _out.print(line, soft_wrap=True, markup=False)
    for table in report.tables(result):
        shown = rich.table.Table(title=table.title, title_justify="left", box=None)
        for number, name in enumerate(table.header):
            shown.add_column(name, justify="left" if number == 1 else "right")
        for row in table.rows:
            shown.add_row(*row)
        _out.print()
        _out.print(shown)
