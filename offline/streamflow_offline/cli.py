"""`offline`: the jobs on StreamFlow's month data, as commands."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from streamflow_repo.connections import ConnectionUrlError, urls_from_environment

from streamflow_offline.errors import JobError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Jobs on StreamFlow's month data. Connections come from POSTGRES_URL and REDIS_URL.",
)

# Wide enough for every table where no terminal sets the width.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
_progress_out = Console(stderr=True, highlight=False)


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="The folder to write month_000, month_001, … into.")],
    users: Annotated[int, typer.Option(help="How many users.")] = 7043,
    months: Annotated[int, typer.Option(help="How many months, from January 2024.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
) -> None:
    """Write month folders of sample data with StreamFlow's distributions."""
    from streamflow_offline.generate import generate_months  # noqa: PLC0415  # commands load what they use

    with _bar() as bar:
        task = bar.add_task("generating rows", total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        folders = generate_months(out, users=users, months=months, seed=seed, on_progress=on_progress)
    for folder in folders:
        _out.print(str(folder), soft_wrap=True)


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(help="A folder of month folders, or one month folder.")],
) -> None:
    """Check month folders and load them into PostgreSQL, each month whole or not at all."""
    from streamflow_offline.ingest import ingest as load  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    reports = load(path, postgres_url=postgres_url, on_progress=_tell)
    table = Table("as_of", "table", "rows", "inserted", "updated", "removed", "unchanged", box=None)
    for month in reports:
        for entry in month.tables:
            counts = (entry.rows, entry.inserted, entry.updated, entry.removed, entry.unchanged)
            table.add_row(month.as_of.isoformat(), entry.name, *(f"{count:,}" for count in counts))
    _out.print(table)


@app.command()
def apply() -> None:
    """Apply the feature definitions with Feast and write contract.json."""
    from streamflow_offline.apply import apply_definitions  # noqa: PLC0415  # commands load what they use

    postgres_url, redis_url = urls_from_environment(os.environ)
    contract_hash = apply_definitions(
        postgres_url=postgres_url, redis_url=redis_url, on_output=lambda line: _out.print(line, markup=False)
    )
    _out.print(f"contract {contract_hash}")


@app.command()
def materialize(
    end: Annotated[
        datetime | None,
        typer.Option(help="Only rows up to this moment, in UTC; refused if it would leave rows out. Default: now."),
    ] = None,
) -> None:
    """Write each user's newest features into Redis."""
    from streamflow_offline.materialize import materialize as run  # noqa: PLC0415  # commands load what they use

    postgres_url, redis_url = urls_from_environment(os.environ)
    reports = run(
        postgres_url=postgres_url,
        redis_url=redis_url,
        end=end.replace(tzinfo=UTC) if end else None,
        on_progress=_tell,
    )
    table = Table("feature view", "users", "newest event", "departed users removed", "later rows left out", box=None)
    for view in reports:
        newest = view.newest.isoformat() if view.newest else "-"
        table.add_row(view.view, f"{view.users:,}", newest, f"{view.departed:,}", f"{view.later_rows:,}")
    _out.print(table)


def main() -> None:
    """Run a command; a job's refusal is told in its own words, without a traceback, and exits 1."""
    try:
        app()
    except (ConnectionUrlError, JobError) as error:
        sys.exit(f"error: {error}")


def _tell(text: str) -> None:
    _progress_out.print(text, markup=False)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_progress_out,
    )


if __name__ == "__main__":
    main()
