"""`offline materialize`: from its options to Redis and the printed comparison."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from streamflow_logs import Event
from streamflow_repo.settings.connections import urls_from_environment

from streamflow_offline.console import show, tell
from streamflow_offline.json_file import refuse_unwritable, write_json
from streamflow_offline.reported import reported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamflow_offline.materialize.report import ViewReport


def materialize(
    *,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what was ingested or corrected since the last run.")
    ] = False,
    start: Annotated[
        datetime | None, typer.Option(help="Only the users whose newest row is of this moment, in UTC, or later.")
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(
            help="Only rows up to this moment, in UTC; without --start refused if it leaves rows out. Default: now."
        ),
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(help="Go back: each user's newest row up to this moment, in UTC, over newer rows in Redis."),
    ] = None,
    allow_departed: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="The share of a view's users who may be removed, or go back to an older row, because PostgreSQL no "
            "longer has their newest row. More is refused.",
        ),
    ] = 0.05,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Fill a Redis that another database filled before.")
    ] = False,
    view: Annotated[list[str] | None, typer.Option(help="A feature view; may be repeated. Default: all.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="A file for the report as JSON.")] = None,
) -> None:
    """Write each user's newest features to Redis, and compare Redis with PostgreSQL; exit 1 if they differ."""
    from streamflow_offline.materialize.job import materialize as run  # noqa: PLC0415  # the same
    from streamflow_offline.materialize.report import FreshnessError, as_json  # noqa: PLC0415  # commands load what they use

    with reported("materialize") as result:
        postgres_url, redis_url = urls_from_environment(os.environ)
        refuse_unwritable(json_file)
        different = None
        try:
            reports = run(
                postgres_url=postgres_url,
                redis_url=redis_url,
                start=start.replace(tzinfo=UTC) if start else None,
                end=end.replace(tzinfo=UTC) if end else None,
                as_of=as_of.replace(tzinfo=UTC) if as_of else None,
                incremental=incremental,
                allow_departed=allow_departed,
                take_over=take_over,
                views=view or (),
                on_progress=tell,
            )
        except FreshnessError as error:
            reports, different = list(error.reports), error
        result.rows = sum(report.written for report in reports)
        show(_table(reports), events=[_event(report) for report in reports])
        write_json(json_file, as_json(reports))
        if different is not None:
            raise different


def _event(report: "ViewReport") -> Event:
    return Event(
        "materialized",
        view=report.view,
        mode=report.mode,
        users=report.users,
        users_online=report.users_online,
        rows=report.written,
        departed=report.departed,
        later_rows=report.later_rows,
        fresh=report.fresh,
        duration_s=report.duration_s,
    )


def _table(reports: "Sequence[ViewReport]") -> Table:
    table = Table("feature view", "users", "in Redis", "newest event", "in Redis", "rows written", box=None)
    for column in ("departed users removed", "later rows left out", "fresh"):
        table.add_column(column)
    for report in reports:
        newest = (f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "-" for moment in (report.newest, report.newest_online))
        table.add_row(
            report.view,
            *(f"{count:,}" for count in (report.users, report.users_online)),
            *newest,
            *(f"{count:,}" for count in (report.written, report.departed, report.later_rows)),
            "yes" if report.fresh else "no",
        )
    return table
