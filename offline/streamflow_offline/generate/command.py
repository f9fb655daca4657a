"""`offline generate`: from its options to month folders."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from streamflow_logs import Event, writes_json

from streamflow_offline.console import progress_out, show


def generate(
    out: Annotated[Path, typer.Option(help="The folder to write month_000, month_001, … into.")],
    users: Annotated[int, typer.Option(help="How many users.")] = 7043,
    months: Annotated[int, typer.Option(help="How many months, from January 2024.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
) -> None:
    """Write month folders of sample data with StreamFlow's distributions."""
    from streamflow_offline.generate.job import generate_months  # noqa: PLC0415  # commands load what they use

    with _bar() as bar:
        task = bar.add_task("generating rows", total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        folders = generate_months(out, users=users, months=months, seed=seed, on_progress=on_progress)
    for folder in folders:
        show(str(folder), events=[Event("generated", folder=str(folder))])


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=progress_out,
        disable=writes_json(),
    )
