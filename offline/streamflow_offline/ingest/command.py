"""`offline ingest`: from month folders to loaded months and the printed result."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show, tell
from streamflow_offline.reported import reported


def ingest(
    path: Annotated[Path, typer.Argument(help="A folder of month folders, or one month folder.")],
) -> None:
    """Check month folders and load them into PostgreSQL, each month whole or not at all."""
    from streamflow_offline.ingest.job import ingest as load  # noqa: PLC0415  # commands load what they use

    with reported("ingest") as result:
        postgres_url, _ = urls_from_environment(os.environ)
        reports = load(path, postgres_url=postgres_url, on_progress=tell)
        result.rows = sum(month.rows for month in reports)
    table, events = Table("as_of", "table", "rows", "inserted", "updated", "removed", "unchanged", box=None), []
    for month in reports:
        for entry in month.tables:
            counts = (entry.rows, entry.inserted, entry.updated, entry.removed, entry.unchanged)
            table.add_row(month.as_of.isoformat(), entry.name, *(f"{count:,}" for count in counts))
            events.append(
                Event(
                    "ingested",
                    as_of=month.as_of,
                    table=entry.name,
                    rows=entry.rows,
                    inserted=entry.inserted,
                    updated=entry.updated,
                    removed=entry.removed,
                    unchanged=entry.unchanged,
                )
            )
    show(table, events=events)
