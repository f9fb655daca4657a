"""`soak`: what `make soak` runs."""

import json
import tempfile
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
from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.run_command import run_command
from streamflow_loadtests.soak.page import soak_page
from streamflow_loadtests.soak.run import MEMORY_AT, SoakResult, SoakSettings, soak

_out = Console(highlight=False, width=160)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def soaks(
    *,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long calls are made for.")] = 30.0,
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help="The share of capacity that is asked.")] = 0.6,
    recycle_s: Annotated[float, typer.Option(min=5, help="How often a replica is replaced.")] = 60.0,
    timeout_ms: Annotated[float, typer.Option(min=10, max=10_000, help="Every call's deadline.")] = 1000.0,
    data: Annotated[Path | None, typer.Option(exists=True, help="Month folders of your own.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write the report as a page to this file.")] = None,
) -> None:
    """Load a stack of the soak's own for long while replicas are replaced; exit 1 when anything is not as expected."""
    refuse_html(html_file)
    plan = SoakSettings(duration_s=60 * minutes, share=share, recycle_s=recycle_s, timeout_s=timeout_ms / 1000)
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-soak-", ignore_cleanup_errors=True) as work,
        stack_bed(months=data, work=Path(work), say=_say) as found,
    ):
        result = uvloop.run(_soak(found, plan))
    _show(result)
    if as_json is not None:
        content = {"machine": asdict(Machine.here()), "plan": asdict(plan), "soak": asdict(result)}
        as_json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if html_file is not None:
        write_html(html_file, soak_page(result, plan=plan, machine=Machine.here()))
    if result.verdict != "yes":
        raise typer.Exit(1)


def main() -> None:
    """Run the soak; an error is one message without a traceback, and the exit code is 1."""
    run_command(app, errors=(BedError, CallError, JobError, TimeoutError), failed="no soak: ")


async def _soak(bed: Bed, plan: SoakSettings) -> SoakResult:
    async with bed.asking():
        pass
    return await soak(bed, plan, say=_say)


def _say(line: str) -> None:
    _out.print(f"  {line}", soft_wrap=True)


def _show(result: SoakResult) -> None:
    failed = ", ".join(f"{count} {code}" for code, count in sorted(result.failed.items())) or "none"
    share = result.calls_per_s / result.capacity_per_s
    _out.print(
        f"\n{result.calls:,} calls at {result.calls_per_s:,.0f} a second, {share:.0%} of the "
        f"{result.capacity_per_s:,.0f} that can be answered; failed: {failed}; {result.recycled} replicas replaced\n"
        f"{result.p50_ms:.1f} ms (p50), {result.p99_ms:.1f} ms (p99), {result.p999_ms:.1f} ms (p99.9); the client was "
        f"late by up to {result.client_late_ms:.0f} ms\n",
        soft_wrap=True,
    )
    longest = rich.table.Table(box=None)
    for name in ("longest ms", "at s", "last replaced"):
        longest.add_column(name, justify="left" if name == "last replaced" else "right")
    for call in result.longest:
        longest.add_row(f"{call.ms:.0f}", f"{call.at_s:.1f}", call.after)
    _out.print(longest)
    memory = rich.table.Table(box=None)
    memory.add_column("memory in MB")
    for time in MEMORY_AT:
        memory.add_column(f"after {time:.0%}", justify="right")
    for name, taken in result.memory_mb.items():
        memory.add_row(name, *(f"{megabytes:.1f}" for megabytes in taken))
    _out.print(memory)
    _out.print(f"\nas expected: {result.verdict}", soft_wrap=True)


if __name__ == "__main__":
    main()
