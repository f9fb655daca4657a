"""`offline ingest` and `offline sample`: from month folders to loaded months and the printed result."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import out as stdout
from streamflow_offline.console import tell


def ingest(
    path: Annotated[Path, typer.Argument(help="A folder of month folders, or one month folder.")],
) -> None:
    """Check month folders and load them into PostgreSQL, each month whole or not at all."""
    from streamflow_offline.ingest import ingest as load  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    reports = load(path, postgres_url=postgres_url, on_progress=tell)
    table = Table("as_of", "table", "rows", "inserted", "updated", "removed", "unchanged", box=None)
    for month in reports:
        for entry in month.tables:
            counts = (entry.rows, entry.inserted, entry.updated, entry.removed, entry.unchanged)
            table.add_row(month.as_of.isoformat(), entry.name, *(f"{count:,}" for count in counts))
    stdout.print(table)


def sample() -> None:
    """Load generated months into a PostgreSQL that has no months yet; leave any other alone."""
    from streamflow_offline.sample import load_sample  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    stdout.print("loaded" if load_sample(postgres_url, on_progress=tell) else "PostgreSQL has months already")
