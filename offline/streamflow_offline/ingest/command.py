"""`offline ingest`: from its argument to loaded months and the printed result."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import out as stdout
from streamflow_offline.console import tell
from streamflow_offline.ingest.job import ingest as load


def ingest(
    path: Annotated[Path, typer.Argument(help="A folder of month folders, or one month folder.")],
) -> None:
    """Check month folders and load them into PostgreSQL, each month whole or not at all."""
    postgres_url, _ = urls_from_environment(os.environ)
    reports = load(path, postgres_url=postgres_url, on_progress=tell)
    table = Table("as_of", "table", "rows", "inserted", "updated", "removed", "unchanged", box=None)
    for month in reports:
        for entry in month.tables:
            counts = (entry.rows, entry.inserted, entry.updated, entry.removed, entry.unchanged)
            table.add_row(month.as_of.isoformat(), entry.name, *(f"{count:,}" for count in counts))
    stdout.print(table)
