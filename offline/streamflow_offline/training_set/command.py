"""`offline training-set`: from its options to a training set and the printed result."""

import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import out as stdout
from streamflow_offline.console import tell
from streamflow_offline.training_set.request import DEFAULT_CHUNK_ROWS, OutputFormat, TrainingSetRequest


def training_set(
    *,
    out: Annotated[Path, typer.Option(help="The folder of a Parquet dataset, or a CSV file named *.csv.")],
    service: Annotated[str, typer.Option(help="The feature service.")] = "churn_v1",
    as_of: Annotated[
        list[datetime] | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day of label snapshots; may be repeated. Default: all."),
    ] = None,
    entities: Annotated[
        Path | None, typer.Option(help="A CSV file of your own entity rows: user_id, as_of or timestamp, and more.")
    ] = None,
    entity_query: Annotated[str | None, typer.Option(help="An SQL query of your own entity rows.")] = None,
    output_format: Annotated[
        OutputFormat | None, typer.Option("--format", help="Default: csv for *.csv, otherwise parquet.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier training set.")] = False,
    chunk_rows: Annotated[int, typer.Option(help="How many rows are read and written at a time.")] = DEFAULT_CHUNK_ROWS,
) -> None:
    """Build a training set: features as of each row's time, joined to the label of that month."""
    # A container is stopped by SIGTERM. As after Ctrl-C, the job says what it kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from streamflow_offline.training_set.job import build_training_set  # noqa: PLC0415  # importing Feast takes seconds

    postgres_url, redis_url = urls_from_environment(os.environ)
    report = build_training_set(
        TrainingSetRequest(
            service=service,
            out=out,
            as_of=tuple(day.date() for day in as_of or ()),
            entities=entities,
            entity_query=entity_query,
            output_format=output_format,
            overwrite=overwrite,
            chunk_rows=chunk_rows,
        ),
        postgres_url=postgres_url,
        redis_url=redis_url,
        on_progress=tell,
    )
    table = Table("as_of", "rows", "label rate", box=None)
    for day in report.manifest["dates"]:
        rate = "-" if day["label_rate"] is None else f"{day['label_rate']:.4f}"
        table.add_row(day["as_of"], f"{day['rows']:,}", rate)
    stdout.print(table)
    stdout.print(f"{report.out}  {report.manifest['content_hash']}", soft_wrap=True, markup=False)
    stdout.print(f"manifest  {report.manifest_path}", soft_wrap=True, markup=False)
