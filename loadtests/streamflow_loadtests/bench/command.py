"""`bench`: what `make bench` runs."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import rich.table
import typer
import uvloop
from rich.console import Console
from streamflow_offline.errors import JobError
from streamflow_offline.html import refuse_html, write_html

from streamflow_loadtests.bed.bed import BedError
from streamflow_loadtests.bench import arms, plan
from streamflow_loadtests.bench import files as report
from streamflow_loadtests.bench.page import bench_page
from streamflow_loadtests.bench.result import Result, conditions
from streamflow_loadtests.bench.rounds import BenchmarkError, measure, served
from streamflow_loadtests.bench.servers import shortest
from streamflow_loadtests.bench.tables import tables
from streamflow_loadtests.bench.targets import judged
from streamflow_loadtests.bench.workloads import BenchSettings, Workload, crossed
from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.run_command import run_command

# The table of figures needs as much; a narrower terminal breaks its lines.
_out = Console(highlight=False, width=220)
_WORDS = ("arm", "part", "what", "under", "against", "target", "reached")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only what the targets name, in two rounds of half a second.")
    ] = False,
    arm: Annotated[
        list[str] | None,
        typer.Option(help=f"An arm to measure: {arms.NAMES}. A server alone is asked by the first client that can."),
    ] = None,
    callers: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Concurrent callers, each number with each of --users; 1, 16, 64 and 256 if only --users is given.",
        ),
    ] = None,
    users: Annotated[
        list[int] | None,
        typer.Option(
            min=1, max=1000, help="Users a call, each number with each of --callers; 1 if only --callers is given."
        ),
    ] = None,
    apart: Annotated[
        bool, typer.Option("--apart", help="With --callers or --users: each caller has a connection of its own.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each arm is measured; 3 by default.")] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.05, max=600, help="Seconds of load on each arm in each round; 2.5 by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed asks for the same users.")] = 0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder to write bench.md, bench.json and bench.svg into.", file_okay=False)
    ] = None,
    require_targets: Annotated[
        bool, typer.Option("--require-targets", help="Exit 1 when a target is not reached, or was not measured.")
    ] = False,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write the report as a page to this file.")] = None,
) -> None:
    """Measure Feast's own servers and the gateway side by side; refuse to compare when a reply is wrong."""
    refuse_html(html_file)
    workloads = crossed(users=users or [], callers=callers or [], apart=apart) if users or callers or apart else None
    found = _arms(arm or [], workloads, quick=quick)
    skipped = arms.missing(found)
    for name, why in skipped.items():
        _say(f"{name} is left out: {why}")
    settings = BenchSettings(
        arms={name: under for name, under in found.items() if name not in skipped},
        rounds=rounds or (2 if quick else 3),
        duration_s=duration or (0.5 if quick else 2.5),
        warm_up_s=0.3,
        seed=seed,
    )
    result = _run(settings, data, skipped)
    _show(result)
    if out is not None:
        report.write(result, out)
        _out.print(f"\nwritten to {out}", soft_wrap=True, markup=False)
    if html_file is not None:
        write_html(html_file, bench_page(result))
    if require_targets and not all(outcome.reached for outcome in judged(result.cells)):
        raise typer.Exit(1)


def main() -> None:
    """Run the benchmark; an error is one message without a traceback, and the exit code is 1."""
    run_command(app, errors=(BedError, BenchmarkError, JobError, TimeoutError), failed="no comparison: ")


def _arms(chosen: Sequence[str], workloads: Sequence[Workload] | None, *, quick: bool) -> dict[str, Sequence[Workload]]:
    unknown = sorted(name for name in set(chosen) if not arms.exists(name))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: no such arm; there are {arms.NAMES}")
    usual = plan.named_by_targets() if quick else plan.DEFAULT
    names = dict.fromkeys(map(shortest, chosen)) or usual
    return {name: workloads or usual.get(name) or plan.SINGLE for name in names}


def _run(settings: BenchSettings, months: Path | None, skipped: Mapping[str, str]) -> Result:
    if not settings.arms:
        raise BenchmarkError("there is no arm left to measure")
    machine = Machine.here()
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-bench-", ignore_cleanup_errors=True) as work,
        served(settings.arms, months=months, work=Path(work), say=_say) as (chosen, servers),
    ):
        cells = uvloop.run(measure(settings, chosen, servers, say=_say))
    return Result(settings=settings, machine=machine, arms=chosen, cells=cells, skipped=skipped)


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _show(result: Result) -> None:
    _out.print()
    for arm in result.arms:
        _out.print(f"{arm.name:<20} {arm.what}", soft_wrap=True, markup=False)
    _out.print()
    for line in conditions(result):
        _out.print(line, soft_wrap=True, markup=False)
    for table in tables(result):
        shown = rich.table.Table(title=table.title, title_justify="left", box=None)
        for name in table.header:
            shown.add_column(name, justify="left" if name in _WORDS else "right")
        for row in table.rows:
            shown.add_row(*row)
        _out.print()
        _out.print(shown)
