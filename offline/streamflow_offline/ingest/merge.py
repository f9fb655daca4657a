"""The SQL that brings a table to what a month's file has, by as few writes as it takes."""

from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg import sql
from streamflow_repo import JOIN_KEY

from streamflow_offline.ingest.schema import AS_OF, AS_OF_TYPE, INGESTED_AT
from streamflow_offline.tables import USERS, Column, Table


@dataclass(frozen=True, kw_only=True)
class Target:
    """A table that a file is merged into."""

    name: str

    columns: tuple[Column, ...]
    """Those that come from the file, besides the user id."""

    incoming: sql.Identifier
    """The table that holds the file's rows."""

    keeps_months: bool
    """Whether it has a row for each month of a user, or one row, of the user's newest month."""


def incoming(table: Table) -> sql.Identifier:
    """Return the name of the temporary table for the file's rows."""
    return sql.Identifier("pg_temp", f"incoming_{table.name}")


def live(table: Table) -> Target:
    """Return the table's target with one row a user."""
    return Target(name=table.name, columns=table.csv_columns, incoming=incoming(table), keeps_months=False)


def snapshots(table: Table) -> Target | None:
    """Return the table's target with a row for each month of a user; None for a table without history."""
    if table.snapshot_name is None:
        return None
    return Target(name=table.snapshot_name, columns=table.snapshot_columns, incoming=incoming(table), keeps_months=True)


@dataclass(frozen=True, kw_only=True)
class Merger:
    """One month's merge: what all of its statements share."""

    connection: psycopg.Connection

    as_of: date
    """The month's day."""

    ingested_at: datetime
    """What the rows that it writes are marked with."""

    def remove(self, target: Target) -> int:
        """Delete the month's rows that the file no longer has; return how many."""
        return self._run(
            "DELETE FROM {table} AS t WHERE t.{as_of} = {day}"
            " AND NOT EXISTS (SELECT FROM {incoming} AS i WHERE i.{key} = t.{key})",
            target,
        )

    def remove_with_user(self, target: Target) -> int:
        """Delete the rows, of whichever month, of users whom the month's `users` file no longer has; return how many.

        Only a live row can be older than its user's: that of a user who was in an earlier month's file of the table.
        """
        return self._run(
            "DELETE FROM {table} AS t USING {users} AS u WHERE u.{key} = t.{key} AND u.{as_of} = {day}"
            " AND NOT EXISTS (SELECT FROM {incoming_users} AS i WHERE i.{key} = u.{key})",
            target,
        )

    def update(self, target: Target) -> int:
        """Bring rows that differ from the file's to what it has, but none of a later month; return how many."""
        return self._run(
            "UPDATE {table} AS t SET ({columns}, {as_of}, {ingested_at}) = ROW({incoming_columns}, {day}, {now})"
            " FROM {incoming} AS i WHERE i.{key} = t.{key} AND {replaced}"
            " AND (t.{as_of}, {table_columns}) IS DISTINCT FROM ({day}, {incoming_columns})",
            target,
        )

    def insert(self, target: Target) -> int:
        """Add the file's rows that the table has none for; return how many."""
        # In the order of the key, rows go into its index, and find their users, twice as fast.
        return self._run(
            "INSERT INTO {table} ({key}, {columns}, {as_of}, {ingested_at})"
            " SELECT i.{key}, {incoming_columns}, {day}, {now} FROM {incoming} AS i"
            " WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE t.{key} = i.{key} AND {present}) ORDER BY i.{key}",
            target,
        )

    def _run(self, statement: str, target: Target) -> int:
        day = sql.SQL("{}::{}").format(sql.Literal(self.as_of.isoformat()), sql.SQL(AS_OF_TYPE))
        names = [sql.Identifier(column.name) for column in target.columns]
        this_month = sql.SQL("t.{} = {}").format(sql.Identifier(AS_OF), day)
        up_to_this_month = sql.SQL("t.{} <= {}").format(sql.Identifier(AS_OF), day)

        def columns_of(prefix: str) -> sql.Composable:
            return sql.SQL(", ").join(sql.SQL(prefix) + name for name in names)

        query = sql.SQL(statement).format(
            table=sql.Identifier(target.name),
            incoming=target.incoming,
            users=sql.Identifier(USERS.name),
            incoming_users=incoming(USERS),
            key=sql.Identifier(JOIN_KEY),
            as_of=sql.Identifier(AS_OF),
            ingested_at=sql.Identifier(INGESTED_AT),
            columns=columns_of(""),
            table_columns=columns_of("t."),
            incoming_columns=columns_of("i."),
            day=day,
            now=sql.Literal(self.ingested_at),
            replaced=this_month if target.keeps_months else up_to_this_month,
            present=this_month if target.keeps_months else sql.SQL("TRUE"),
        )
        return self.connection.execute(query).rowcount
