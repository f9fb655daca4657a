"""`capacity`: what calls cost, and the replicas that a target takes."""

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

from streamflow_loadtests.bed.bed import Bed, BedError, stack_bed
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.capacity.costs import Costs, CostsError, Measured, Point
from streamflow_loadtests.capacity.measurement import Measurement
from streamflow_loadtests.capacity.replicas import Replicas, UnreachableError, replicas
from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.run_command import run_command

_out = Console(highlight=False, width=160)
_FEW_FEATURES = 4

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("measure")
def measure_costs(
    *,
    duration: Annotated[float, typer.Option(min=0.5, max=120, help="Seconds of each load.")] = 8.0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write what was measured to this file.")] = None,
) -> None:
    """Measure what calls cost on this machine, and what calls at several rates meet."""
    machine = Machine.here()
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-capacity-", ignore_cleanup_errors=True) as work,
        stack_bed(months=data, work=Path(work), say=_say) as found,
    ):
        costs, few, points = uvloop.run(_measured(found, duration_s=duration))
    _show_costs(few, costs)
    _show_points(points)
    if as_json is not None:
        content = {
            "machine": asdict(machine),
            **Measured(costs=costs, points=tuple(points)).as_json(),
            "costs_of_few_features": asdict(few),
        }
        as_json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@app.command("plan")
def plan_replicas(
    *,
    costs: Annotated[Path, typer.Option(help="What `capacity measure --json` wrote.")],
    rate: Annotated[list[float], typer.Option(min=1, help="Calls of one user a second; once for each target.")],
    p99_ms: Annotated[float, typer.Option(min=0.1, help="Use only rates whose measured p99 was at most this.")] = 20.0,
    users: Annotated[int, typer.Option(min=1, help="How many users the online store holds.")] = 1_000_000,
) -> None:
    """Print the replicas that each rate takes, by the highest measured rate that keeps to the limits."""
    measured = Measured.of_file(costs)
    _show_replicas([replicas(measured, calls_per_s=calls_per_s, p99_ms=p99_ms, users=users) for calls_per_s in rate])


def main() -> None:
    """Run a command; an error is one message without a traceback, and the exit code is 1."""
    run_command(app, errors=(CostsError, UnreachableError, BedError, CallError, JobError, TimeoutError))


async def _measured(bed: Bed, *, duration_s: float) -> tuple[Costs, Costs, Sequence[Point]]:
    measurement = Measurement(bed, duration_s=duration_s)
    await measurement.start()
    references = list(bed.dataset.references)
    _say("measuring costs")
    costs = await measurement.costs(features=references)
    _say(f"measuring costs of {_FEW_FEATURES} features")
    few = await measurement.costs(features=references[:_FEW_FEATURES])
    _say("measuring calls at several rates")
    return costs, few, await measurement.points(costs)


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _table(*header: str) -> rich.table.Table:
    table = rich.table.Table(box=None)
    for name in header:
        table.add_column(name, justify="right")
    table.columns[0].justify = "left"
    return table


def _show_costs(*measured: Costs) -> None:
    table = _table("ms unless it says otherwise", *(f"{costs.features} features" for costs in measured))
    rows = [asdict(costs) for costs in measured]
    for name in rows[0]:
        if name != "features":
            scale = 1000 if name.endswith("_s") else 1
            table.add_row(name.removesuffix("_s"), *(f"{row[name] * scale:,.3f}" for row in rows))
    _out.print()
    _out.print(table)


def _show_points(points: Sequence[Point]) -> None:
    table = _table("calls/s", "p50 ms", "p99 ms", "users a read", "gateway cores", "feature server cores", "void")
    for point in points:
        table.add_row(
            f"{point.calls_per_s:,.0f}",
            f"{point.p50_s * 1000:.2f}",
            f"{point.p99_s * 1000:.2f}",
            f"{point.users_a_read:.1f}",
            f"{point.gateway_cores:.2f}",
            f"{point.feature_server_cores:.2f}",
            f"client {point.late_s * 1000:.0f} ms late" if point.void else "",
        )
    _out.print()
    _out.print(table)


def _show_replicas(found: Sequence[Replicas]) -> None:
    table = _table(
        "calls/s",
        "calls/s a pair",
        "its p99 ms",
        "users a read",
        "pairs, one to spare",
        "cores busy",
        "GB of pairs",
        "Redis primaries",
        "GB in Redis",
        "Gbit/s of replies",
    )
    for each in found:
        table.add_row(
            f"{each.calls_per_s:,.0f}",
            f"{each.pair.calls_per_s:,.0f}",
            f"{each.pair.p99_s * 1000:.1f}",
            f"{each.pair.users_a_read:.1f}",
            f"{each.pairs:,}",
            f"{each.cores:,.1f}",
            f"{each.memory_gb:,.1f}",
            f"{each.store_primaries:,}",
            f"{each.store_gb:,.2f}",
            f"{each.replies_gbit_per_s:,.2f}",
        )
    _out.print(table)
