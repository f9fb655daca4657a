"""One checked month into PostgreSQL, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg import sql

from streamflow_offline.ingest.merge import Merger, incoming, live, snapshots
from streamflow_offline.ingest.month import CheckedMonth
from streamflow_offline.ingest.schema import column_definitions, lock_ingest
from streamflow_offline.tables import TABLES, USERS, Table

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """What a load did to the month's rows of one snapshot table."""

    name: str

    rows: int
    """How many the month has now: those inserted, updated and unchanged."""

    inserted: int
    updated: int
    removed: int
    unchanged: int
    """How many were as the file has them, and keep their time of ingestion."""


@dataclass(frozen=True, kw_only=True)
class MonthReport:
    """What a load did to one month."""

    as_of: date
    """The month's last day."""

    tables: tuple[TableReport, ...]
    """Each snapshot table's, in the order of loading."""

    @property
    def rows(self) -> int:
        """How many rows the month's files have."""
        return sum(table.rows for table in self.tables)


def load_month(
    connection: psycopg.Connection, month: CheckedMonth, *, on_progress: Callable[[str], None]
) -> MonthReport:
    """Make PostgreSQL have the rows of the month, all of them or none. Raises psycopg.Error."""
    name = month.folder.path.name
    with connection.transaction():
        if not lock_ingest(connection, wait=False):
            on_progress(f"{name} waits for another ingest to end")
            lock_ingest(connection)
        # A day as a timestamp, should as_of become one, is midnight UTC.
        connection.execute("SET LOCAL TimeZone TO 'UTC'")
        # now() is when the transaction began: before the rows of the load that it waited for were written.
        ((ingested_at,),) = connection.execute("SELECT clock_timestamp()").fetchall()
        merger = Merger(connection=connection, as_of=month.folder.as_of, ingested_at=ingested_at)
        rows = {table.name: _copy(connection, table, month) for table in TABLES}
        on_progress(f"{name} is copied, and is being merged")
        # A user's rows go before the user and come after.
        removed = {table.name: _remove(merger, table) for table in reversed(TABLES)}
        reports = [_merge(merger, table, rows=rows[table.name], removed=removed[table.name]) for table in TABLES]
        for table in TABLES:
            _analyze(connection, sql.Identifier(table.name))
            if table.snapshot_name:
                _analyze(connection, sql.Identifier(table.snapshot_name))
    return MonthReport(as_of=month.folder.as_of, tables=tuple(report for report in reports if report))


def _copy(connection: psycopg.Connection, table: Table, month: CheckedMonth) -> int:
    target = incoming(table)
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            target, sql.SQL(", ").join(column_definitions(table.csv_columns))
        )
    )
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, NULL '', ENCODING 'UTF8')").format(target)
    cursor = connection.cursor()
    with month.rows[table.name].open("rb") as rows, cursor.copy(statement) as copy:
        while block := rows.read(_BLOCK_BYTES):
            copy.write(block)
    _analyze(connection, target)
    return cursor.rowcount


def _remove(merger: Merger, table: Table) -> int:
    if table is not USERS:
        merger.remove_with_user(live(table))
    merger.remove(live(table))
    target = snapshots(table)
    return merger.remove(target) if target else 0


def _merge(merger: Merger, table: Table, *, rows: int, removed: int) -> TableReport | None:
    merger.update(live(table))
    merger.insert(live(table))
    target = snapshots(table)
    if target is None:
        return None
    updated, inserted = merger.update(target), merger.insert(target)
    return TableReport(
        name=target.name,
        rows=rows,
        inserted=inserted,
        updated=updated,
        removed=removed,
        unchanged=rows - inserted - updated,
    )


def _analyze(connection: psycopg.Connection, table: sql.Identifier) -> None:
    connection.execute(sql.SQL("ANALYZE {}").format(table))
