"""`offline training-set`: from its options to a training set and the printed result."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show, tell
from streamflow_offline.errors import JobError
from streamflow_offline.html import refuse_html, write_html
from streamflow_offline.reported import reported
from streamflow_offline.training_set.request import DEFAULT_CHUNK_ROWS, OutputFormat, TrainingSetRequest
from streamflow_offline.training_set.stopping import stop_at_signals


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
    html_file: Annotated[
        Path | None, typer.Option("--html", help="A file for a page: label balance, nulls, distributions.")
    ] = None,
    chunk_rows: Annotated[int, typer.Option(help="How many rows are read and written at a time.")] = DEFAULT_CHUNK_ROWS,
) -> None:
    """Build a training set: features as of each row's time, joined to the label of that month."""
    stop_at_signals()
    from streamflow_offline.training_set.job import build_training_set  # noqa: PLC0415  # importing Feast takes seconds
    from streamflow_offline.training_set.page import refused_page, training_set_page  # noqa: PLC0415  # the same

    request = TrainingSetRequest(
        service=service,
        out=out,
        as_of=tuple(day.date() for day in as_of or ()),
        entities=entities,
        entity_query=entity_query,
        output_format=output_format,
        overwrite=overwrite,
        chunk_rows=chunk_rows,
    )
    with reported("training-set", feature_service=service) as result:
        postgres_url, redis_url = urls_from_environment(os.environ)
        refuse_html(html_file)
        try:
            report = build_training_set(request, postgres_url=postgres_url, redis_url=redis_url, on_progress=tell)
        except JobError as error:
            if html_file is not None:
                write_html(html_file, refused_page(service, error))
            raise
        if html_file is not None:
            write_html(html_file, training_set_page(report))
        result.rows = report.manifest["rows"]
    table = Table("as_of", "rows", "label rate", box=None)
    for day in report.manifest["dates"]:
        rate = "-" if day["label_rate"] is None else f"{day['label_rate']:.4f}"
        table.add_row(day["as_of"], f"{day['rows']:,}", rate)
    content_hash = report.manifest["content_hash"]
    written = Event(
        "training set written",
        feature_service=service,
        out=report.out,
        rows=report.manifest["rows"],
        content_hash=content_hash,
        manifest=report.manifest_path,
    )
    show(table, f"{report.out}  {content_hash}", f"manifest  {report.manifest_path}", events=[written])
