"""Compares the event timestamps of all users and views in Redis with PostgreSQL, and removes departed users."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

import psycopg
import redis
from psycopg import sql

from streamflow_offline.materialize.newest import NewestRows, utc
from streamflow_offline.user_keys import UserKeys

_BATCH_SIZE = 5000
_ONLINE = sql.Identifier("pg_temp", "online")


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """How a view's users in Redis compare with the view's newest rows in PostgreSQL."""

    users_online: int
    """Users whom both PostgreSQL and Redis have."""

    newest_online: datetime | None
    """The newest event timestamp of these users in Redis; None without a user."""

    missing: int
    """Users whom Redis does not have."""

    older: int
    """Users whose row in Redis is older than in PostgreSQL."""

    newer: int
    """Users whose row in Redis is newer than in PostgreSQL."""

    @property
    def fresh(self) -> bool:
        """Whether Redis has each user's row of the newest event timestamp."""
        return not (self.missing or self.older or self.newer)


def read_online(
    client: redis.Redis, connection: psycopg.Connection, keys: UserKeys, views: Sequence[NewestRows]
) -> None:
    """Read the event timestamps of all users and views from Redis into a temporary table.

    The functions below compare with this table. Raises redis.RedisError and psycopg.Error.
    """
    columns = [sql.SQL("{} timestamp").format(_column(rows)) for rows in views]
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_ONLINE))
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({})").format(
            _ONLINE, sql.SQL(", ").join([sql.SQL("user_id text"), *columns])
        )
    )
    fields = [f"_ts:{rows.name}" for rows in views]
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(_ONLINE)) as copy:
        for batch in _batches(keys.scan(client)):
            with client.pipeline(transaction=False) as pipeline:
                for key in batch.values():
                    pipeline.hmget(key, fields)  # type: ignore[arg-type]  # its annotation forgets that keys are bytes
                for user_id, times in zip(batch, pipeline.execute(), strict=True):
                    copy.write_row([user_id, *map(_timestamp_text, times)])
    connection.execute(sql.SQL("ANALYZE {}").format(_ONLINE))


def compare(connection: psycopg.Connection, rows: NewestRows) -> Freshness:
    """Return how the view's users in PostgreSQL compare with what `read_online` found."""
    query = sql.SQL(
        "SELECT count(o.event), max(o.event), count(*) FILTER (WHERE o.event IS NULL),"
        " count(*) FILTER (WHERE o.event < n.{event}), count(*) FILTER (WHERE o.event > n.{event})"
        " FROM {newest} AS n LEFT JOIN ({online}) AS o ON o.user_id = n.{key}::text"
    ).format(event=rows.event, newest=rows.table, online=_online(rows), key=rows.key)
    ((users, newest, missing, older, newer),) = connection.execute(query).fetchall()
    return Freshness(users_online=users, newest_online=utc(newest), missing=missing, older=older, newer=newer)


def count_online(connection: psycopg.Connection, rows: NewestRows) -> tuple[int, int]:
    """Return how many users of the view `read_online` found, and how many of these PostgreSQL does not have."""
    # A join, because PostgreSQL plans a subquery in a FILTER for one row and would read the whole table for each user.
    query = sql.SQL(
        "SELECT count(*), count(*) FILTER (WHERE n.{key} IS NULL)"
        " FROM ({online}) AS o LEFT JOIN {newest} AS n ON n.{key}::text = o.user_id"
    ).format(online=_online(rows), newest=rows.table, key=rows.key)
    ((users, departed),) = connection.execute(query).fetchall()
    return users, departed


def differs_online(rows: NewestRows) -> sql.Composed:
    """Return the SQL condition on a newest row, `n`, that Redis has no row of the user or another event timestamp."""
    return sql.SQL("NOT {}").format(_online_row(rows, "="))


def newer_online(rows: NewestRows) -> sql.Composed:
    """Return the SQL condition on a newest row, `n`, that Redis has a newer row of the user."""
    return _online_row(rows, ">")


def remove_departed(client: redis.Redis, connection: psycopg.Connection, keys: UserKeys, rows: NewestRows) -> int:
    """Delete the view's fields of the users that `read_online` found and PostgreSQL does not have; return how many.

    Feast only writes, so Feast would serve a removed row forever. Raises redis.RedisError and psycopg.Error.
    """
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415  # takes seconds

    fields = [f"_ts:{rows.name}".encode(), *(_mmh3(f"{rows.name}:{feature.name}") for feature in rows.view.features)]
    removed = 0
    for user_ids in _departed_users(connection, rows):
        with client.pipeline(transaction=False) as pipeline:
            for user_id in user_ids:
                pipeline.hdel(keys.key(user_id), *fields)  # type: ignore[arg-type]  # keys are bytes
            removed += sum(1 for deleted in pipeline.execute() if deleted)
    return removed


def _departed_users(connection: psycopg.Connection, rows: NewestRows) -> Iterator[list[str]]:
    query = sql.SQL(
        "SELECT o.user_id FROM ({online}) AS o"
        " WHERE NOT EXISTS (SELECT FROM {newest} AS n WHERE n.{key}::text = o.user_id)"
    ).format(online=_online(rows), newest=rows.table, key=rows.key)
    with connection.transaction(), connection.cursor(name="departed") as cursor:
        cursor.execute(query)
        while fetched := cursor.fetchmany(_BATCH_SIZE):
            yield [user_id for (user_id,) in fetched]


def _online_row(rows: NewestRows, operator: Literal["=", ">"]) -> sql.Composed:
    return sql.SQL(
        "EXISTS (SELECT FROM ({online}) AS o WHERE o.user_id = n.{key}::text AND o.event {operator} n.{event})"
    ).format(online=_online(rows), key=rows.key, operator=sql.SQL(operator), event=rows.event)


def _online(rows: NewestRows) -> sql.Composed:
    # A scan of Redis may give a user twice.
    return sql.SQL("SELECT user_id, max({event}) AS event FROM {} WHERE {event} IS NOT NULL GROUP BY user_id").format(
        _ONLINE, event=_column(rows)
    )


def _column(rows: NewestRows) -> sql.Identifier:
    return sql.Identifier(f"event_{rows.number}")


def _batches(users: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    while batch := dict(islice(users, _BATCH_SIZE)):
        yield batch


# Few event timestamps are shared by all users.
@lru_cache(maxsize=10_000)
def _timestamp_text(stored: Any) -> str | None:
    """Return a stored event timestamp as PostgreSQL reads it: UTC, to the microsecond."""
    if stored is None:
        return None
    from google.protobuf.timestamp_pb2 import Timestamp  # noqa: PLC0415  # comes with Feast, which takes seconds

    return Timestamp.FromString(stored).ToDatetime(UTC).replace(tzinfo=None).isoformat(" ")
