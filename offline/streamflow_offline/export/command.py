"""`offline export`: from its options to the exported tables and the printed result."""

import os
from typing import Annotated

import typer
from rich.table import Table
from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show, tell


def export(
    out: Annotated[str, typer.Option(envvar="FEAST_SPARK_DATA", help="The folder of the Parquet that Spark reads.")],
) -> None:
    """Write the snapshots as Parquet, for FEAST_OFFLINE_STORE=spark."""
    from streamflow_offline.export.job import export_snapshots  # noqa: PLC0415  # commands load what they use

    postgres_url, _ = urls_from_environment(os.environ)
    table, events = Table("table", "months", "rows", box=None), []
    for entry in export_snapshots(out, postgres_url=postgres_url, on_progress=tell):
        table.add_row(entry.name, f"{entry.months:,}", f"{entry.rows:,}")
        events.append(Event("exported", table=entry.name, months=entry.months, rows=entry.rows))
    show(table, events=events)
