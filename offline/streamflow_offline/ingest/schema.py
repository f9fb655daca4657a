"""The PostgreSQL tables that months are loaded into, and the lock that loads of them take."""

from collections.abc import Iterator

import psycopg
from psycopg import sql
from streamflow_repo import JOIN_KEY

from streamflow_offline.tables import TABLES, USERS, Column, Table

AS_OF = "as_of"
"""The column with the day that a row is true for, the last of its month."""

AS_OF_TYPE = "DATE"
"""The SQL type of `as_of`; as a type with a time of day, the day's midnight in UTC."""

INGESTED_AT = "ingested_at"
"""The column with the time that a row was last written; a row that a load leaves unchanged keeps it."""

_INGEST_LOCK_KEY = int.from_bytes(b"sfingest")


def create_tables(connection: psycopg.Connection) -> None:
    """Create the live tables and the snapshot tables that are not there yet, in a transaction; leave the others alone.

    A live table has one row a user, of the newest month that has the user; a snapshot table one a user and month.
    Raises psycopg.Error.
    """
    statements = {table.name: _create_live(table) for table in TABLES} | {
        table.snapshot_name: _create_snapshots(table, table.snapshot_name) for table in TABLES if table.snapshot_name
    }
    with connection.transaction():
        # IF NOT EXISTS alone would ask for the right to create tables even where all are there.
        missing = [name for name in statements if not _exists(connection, name)]
        if missing:
            lock_ingest(connection)
        for name in missing:
            connection.execute(statements[name])


def lock_ingest(connection: psycopg.Connection, *, wait: bool = True) -> bool:
    """Take the lock that lets one load at a time write, until the transaction ends; return whether it was taken.

    With `wait`, return only once it was. Raises psycopg.Error.
    """
    if wait:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_INGEST_LOCK_KEY,))
        return True
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_INGEST_LOCK_KEY,)).fetchone()
    return bool(row and row[0])


def column_definitions(columns: tuple[Column, ...]) -> Iterator[sql.Composable]:
    """Yield the SQL definition of the user id and of each of `columns`."""
    yield sql.SQL("{} TEXT NOT NULL").format(sql.Identifier(JOIN_KEY))
    for column in columns:
        null = sql.SQL("") if column.nullable else sql.SQL(" NOT NULL")
        yield sql.SQL("{} {}{}").format(sql.Identifier(column.name), sql.SQL(column.type.value), null)


def _exists(connection: psycopg.Connection, table: str) -> bool:
    name = sql.Identifier(table).as_string()
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone() == (True,)


def _create_live(table: Table) -> sql.Composed:
    definitions = [
        *column_definitions(table.columns),
        *_written_definitions(),
        sql.SQL("PRIMARY KEY ({})").format(sql.Identifier(JOIN_KEY)),
    ]
    if table is not USERS:
        key, users = sql.Identifier(JOIN_KEY), sql.Identifier(USERS.name)
        definitions.append(sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({})").format(key, users, key))
    # A new month rewrites every row: with room for it on the same page, no index has to follow.
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) WITH (fillfactor = 45)").format(
        sql.Identifier(table.name), sql.SQL(", ").join(definitions)
    )


def _create_snapshots(table: Table, name: str) -> sql.Composed:
    definitions = [
        *column_definitions(table.snapshot_columns),
        *_written_definitions(),
        # It serves reads of a user's newest snapshots too: an index is read in either direction.
        sql.SQL("PRIMARY KEY ({}, {})").format(sql.Identifier(JOIN_KEY), sql.Identifier(AS_OF)),
    ]
    return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(sql.Identifier(name), sql.SQL(", ").join(definitions))


def _written_definitions() -> Iterator[sql.Composable]:
    yield sql.SQL("{} {} NOT NULL").format(sql.Identifier(AS_OF), sql.SQL(AS_OF_TYPE))
    yield sql.SQL("{} TIMESTAMPTZ NOT NULL").format(sql.Identifier(INGESTED_AT))
