"""The newest snapshots into Redis, and out of Redis what PostgreSQL no longer has."""

import io
import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from streamflow_offline.departed import remove_departed
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import exclusive, open_store
from streamflow_offline.view_sql import event_timestamp_utc, source_table

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_log = logging.getLogger(__name__)

_EVERYTHING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class ViewReport:
    """What a materialization did for one feature view."""

    view: str

    users: int
    """Users with a row in the window: those whose newest is now in Redis."""

    newest: datetime | None
    """The newest event timestamp in the window; None without a row."""

    departed: int
    """Users removed from Redis, because PostgreSQL holds no row of them any more."""

    later_rows: int
    """Rows in PostgreSQL that are newer than the window, and so not in Redis."""


def materialize(
    *,
    postgres_url: str,
    redis_url: str,
    end: datetime | None = None,
    on_progress: Callable[[str], None],
) -> list[ViewReport]:
    """Write each user's newest row up to `end` into Redis and return a report of each view; `end` is now by default.

    The window always starts at the beginning, so a correction of any month arrives: the newest row of each user is
    written whether or not its event timestamp is newer than the stored one. Serving goes on meanwhile. Raises JobError
    when `end` would leave rows out that are in PostgreSQL already, when nothing is applied, or when a store fails.
    """
    now = datetime.now(UTC)
    until = end or now
    with exclusive(postgres_url) as connection, open_store(postgres_url=postgres_url, redis_url=redis_url) as store:
        views = _views(store)
        if end is not None and end <= now:
            _refuse_to_leave_out(connection, views, until)
        for view in views:
            on_progress(f"materializing {view.name}")
            _materialize_view(store, view, until)
        on_progress("looking for users that PostgreSQL no longer has")
        departed = remove_departed(store, views, connection, redis_url=redis_url, until=until)
        return [_report(connection, view, until, departed[str(view.name)]) for view in views]


def _views(store: "FeatureStore") -> Sequence["FeatureView"]:
    views = sorted(store.list_feature_views(), key=lambda view: str(view.name))
    if not views:
        raise JobError("nothing is applied in this database; run `offline apply` first")
    return views


def _refuse_to_leave_out(connection: psycopg.Connection, views: Sequence["FeatureView"], until: datetime) -> None:
    for view in views:
        report = _report(connection, view, until, departed=0)
        if report.later_rows:
            raise JobError(
                f"{view.name} has {report.later_rows} rows after {until.isoformat()}, which would be left out of "
                "Redis; leave --end out to cover everything up to now"
            )


def _materialize_view(store: "FeatureStore", view: "FeatureView", until: datetime) -> None:
    # Feast prints its progress bar and colours; ours is the caller's.
    output = io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(output):
            store.materialize(start_date=_EVERYTHING, end_date=until, feature_views=[view.name])
    except Exception as error:
        _log.debug("Feast's output: %s", output.getvalue())
        raise JobError(f"materializing {view.name} failed: {type(error).__name__}: {error}") from error


def _report(connection: psycopg.Connection, view: "FeatureView", until: datetime, departed: int) -> ViewReport:
    query = sql.SQL(
        "SELECT count(DISTINCT {key}) FILTER (WHERE {event} <= %(until)s),"
        " max({event}) FILTER (WHERE {event} <= %(until)s),"
        " count(*) FILTER (WHERE {event} > %(until)s) FROM {table}"
    ).format(key=sql.Identifier(view.join_keys[0]), event=event_timestamp_utc(view), table=source_table(view))
    users, newest, later = connection.execute(query, {"until": until}).fetchone() or (0, None, 0)
    return ViewReport(view=str(view.name), users=users, newest=newest, departed=departed, later_rows=later)
