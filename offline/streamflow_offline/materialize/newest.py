"""Takes each user's newest row of a feature view from one state of PostgreSQL."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.view_sql import (
    created_timestamp_field,
    event_timestamp_utc,
    field_mapping,
    source_table,
    timestamp_field,
)

if TYPE_CHECKING:
    from feast import FeatureView

_SETTINGS = {
    "TimeZone": "UTC",
    "work_mem": "64MB",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # PostgreSQL then releases the job's lock soon after the job was killed.
    "client_connection_check_interval": "1s",
}


@dataclass(frozen=True, kw_only=True)
class NewestRows:
    """Each user's newest row of a view up to a moment, in a temporary table."""

    view: "FeatureView"

    number: int
    """The view's position among the views of the run."""

    table: sql.Identifier
    """The temporary table. It has the source's columns: the key, the features, the timestamps."""

    users: int

    newest: datetime | None
    """The newest event timestamp; None without a row."""

    ingested_until: datetime | None
    """The newest created timestamp; None without a row, or where the source has no such column."""

    later_rows: int
    """Rows of the source that are dated after the moment."""

    @property
    def name(self) -> str:
        """The view's name."""
        return str(self.view.name)

    @property
    def key(self) -> sql.Identifier:
        """The column of the user id."""
        return sql.Identifier(self.view.join_keys[0])

    @property
    def event(self) -> sql.Identifier:
        """The column of the event timestamp, a TIMESTAMP in UTC."""
        return sql.Identifier(timestamp_field(self.view))

    @property
    def created(self) -> sql.Identifier | None:
        """The column of the created timestamp; None where the source has none."""
        name = created_timestamp_field(self.view)
        return sql.Identifier(name) if name else None


def take_newest(connection: psycopg.Connection, views: Sequence["FeatureView"], *, until: datetime) -> list[NewestRows]:
    """Return the newest rows up to `until` of all views, from one state of their tables.

    `connection` is in autocommit mode. Only the job may use it, because it gets the job's settings and tables. Raises
    JobError for a source that is not a plain table, and psycopg.Error.
    """
    for name, value in _SETTINGS.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        return [_take(connection, view, number=number, until=until) for number, view in enumerate(views)]


def count_selected(
    connection: psycopg.Connection, rows: NewestRows, condition: sql.Composable
) -> tuple[int, datetime | None]:
    """Return how many rows meet an SQL condition, and the oldest event timestamp of these rows."""
    query = sql.SQL("SELECT count(*), min({}) FROM {} AS n WHERE {}").format(rows.event, rows.table, condition)
    count, oldest = connection.execute(query).fetchone() or (0, None)
    return count, utc(oldest)


def batches(
    connection: psycopg.Connection, rows: NewestRows, condition: sql.Composable, *, size: int
) -> Generator[tuple[Sequence[psycopg.Column], list[tuple[Any, ...]]]]:
    """Yield the columns and the rows that meet an SQL condition, at most `size` rows at a time."""
    query = sql.SQL("SELECT * FROM {} AS n WHERE {}").format(rows.table, condition)
    with connection.transaction(), connection.cursor(name="newest_rows") as cursor:
        cursor.execute(query)
        while fetched := cursor.fetchmany(size):
            yield cursor.description or [], fetched


def utc(moment: datetime | None) -> datetime | None:
    """Return a TIMESTAMP of these tables, which is in UTC, with its time zone."""
    return moment and moment.replace(tzinfo=UTC)


def _take(connection: psycopg.Connection, view: "FeatureView", *, number: int, until: datetime) -> NewestRows:
    if field_mapping(view):
        raise JobError(f"{view.name} has a source with a field mapping; name the table's columns as the features are")
    table = sql.Identifier("pg_temp", f"newest_{number}")
    key, event = sql.Identifier(view.join_keys[0]), sql.Identifier(timestamp_field(view))
    created_name = created_timestamp_field(view)
    created = sql.Identifier(created_name) if created_name else None
    columns = [
        key,
        *(sql.Identifier(feature.name) for feature in view.features),
        sql.SQL("({} AT TIME ZONE 'UTC') AS {}").format(event_timestamp_utc(view), event),
        *([created] if created else []),
    ]
    # Backwards through the index of a table's primary key.
    order = [sql.SQL("{}.{} DESC").format(sql.Identifier("t"), column) for column in (key, event)]
    if created:
        order.append(sql.SQL("{} DESC NULLS LAST").format(created))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE {table} AS SELECT DISTINCT ON (t.{key}) {columns} FROM {source} AS t"
            " WHERE t.{key} IS NOT NULL AND {event_utc} <= {until} ORDER BY {order}"
        ).format(
            table=table,
            key=key,
            columns=sql.SQL(", ").join(columns),
            source=source_table(view),
            event_utc=event_timestamp_utc(view),
            until=sql.Literal(until),
            order=sql.SQL(", ").join(order),
        )
    )
    connection.execute(sql.SQL("ANALYZE {}").format(table))
    users, newest, ingested_until = connection.execute(
        sql.SQL("SELECT count(*), max({}), max({}) FROM {}").format(
            event, created or sql.SQL("NULL::timestamptz"), table
        )
    ).fetchone() or (0, None, None)
    ((later_rows,),) = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {} > %s").format(source_table(view), event_timestamp_utc(view)), (until,)
    ).fetchall()
    return NewestRows(
        view=view,
        number=number,
        table=table,
        users=users,
        newest=utc(newest),
        ingested_until=ingested_until,
        later_rows=later_rows,
    )
