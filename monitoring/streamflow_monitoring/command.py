"""`monitoring`: writes the generated files, and asks Prometheus what the dashboards ask."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from streamflow_loadtests.bed.bed import BedError
from streamflow_loadtests.run_command import run_command
from streamflow_offline.errors import JobError

from streamflow_monitoring import files
from streamflow_monitoring.dashboard_queries import panel_queries
from streamflow_monitoring.live import results_of_a_stack
from streamflow_monitoring.prometheus import Series, asking
from streamflow_monitoring.results_table import page

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Dashboards and rules.")

_told = Console(stderr=True, highlight=False)


@app.command()
def generate() -> None:
    """Write the dashboards, and the rules for Kubernetes."""
    files.write()


@app.command()
def results(
    *,
    prometheus: Annotated[
        str | None, typer.Option(help="The URL of a Prometheus that runs; by default, one beside a stack of its own.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file for the tables, which are printed otherwise.")] = None,
) -> None:
    """Ask what every panel of the dashboards asks, and print what comes back as tables."""
    queries = list(panel_queries())
    if prometheus is None:
        found = results_of_a_stack(queries, say=_say)
    else:
        found = list(zip(queries, asyncio.run(_asked_of(prometheus)), strict=True))
    if out is None:
        typer.echo(page(found), nl=False)
    else:
        out.write_text(page(found), encoding="utf-8")


async def _asked_of(url: str) -> list[list[Series]]:
    async with asking(url) as running:
        return [await running.query(query.asked()) for query in panel_queries()]


def _say(line: str) -> None:
    _told.print(line, soft_wrap=True)


def main() -> None:
    """Run a command; an error is one message without a traceback, and the exit code is 1."""
    run_command(app, errors=(BedError, JobError, OSError, TimeoutError, ValueError), failed="error: ")
