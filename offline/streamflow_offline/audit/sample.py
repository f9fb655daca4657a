"""Which users an audit reads."""

import random
import string
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg import sql
from streamflow_repo import JOIN_KEY
from streamflow_repo.settings.redis_url import primaries

from streamflow_offline.errors import JobError
from streamflow_offline.tables import LABELS
from streamflow_offline.user_keys import UserKeys
from streamflow_offline.view_sql import source_table

if TYPE_CHECKING:
    from feast import FeatureView

UNKNOWN_USERS = 5
"""How many made-up ids are read."""

_LABELLED_ONLY = 100
_BATCH_SIZE = 5000


class Group(StrEnum):
    """Why a user is in the sample."""

    WITH_FEATURES = "with_features"
    """The table of a view has a row of the user."""

    LABELLED_ONLY = "labelled_only"
    """The labels have the user; no view has."""

    ONLINE_ONLY = "online_only"
    """Redis has the user; no view in PostgreSQL has."""

    UNKNOWN = "unknown"
    """The id is made up."""


def draw_sample(
    connection: psycopg.Connection,
    client: redis.Redis,
    views: Sequence["FeatureView"],
    *,
    project: str,
    users: int | None,
    seed: int,
) -> dict[Group, list[str]]:
    """Return the users to read, by group; no user is in two groups.

    `users` is the number of users with features; None means all users of every group. The sample adds up to 100 users
    whom only the labels have, the users whom PostgreSQL does not have among `users` random users of Redis, and made-up
    ids. The seed does not apply to Redis. Raises JobError when no user has features.
    """
    with_features = _with_features(connection, views, users=users, seed=seed)
    if not with_features:
        raise JobError("no user has features in PostgreSQL; load months with `offline ingest` first")
    groups = {
        Group.WITH_FEATURES: with_features,
        Group.LABELLED_ONLY: _labelled_only(connection, views, users=users, seed=seed),
        Group.ONLINE_ONLY: _online_only(connection, client, views, project=project, users=users),
        Group.UNKNOWN: list(_made_up(seed)),
    }
    seen: set[str] = set()
    for group, found in groups.items():
        groups[group] = [user_id for user_id in dict.fromkeys(found) if user_id not in seen]
        seen.update(found)
    return groups


def _with_features(
    connection: psycopg.Connection, views: Sequence["FeatureView"], *, users: int | None, seed: int
) -> list[str]:
    rows = sql.SQL(" UNION ").join(
        sql.SQL("SELECT {} AS id FROM {}").format(sql.Identifier(view.join_keys[0]), source_table(view))
        for view in views
    )
    return _drawn(connection, rows, users=users, seed=seed)


def _labelled_only(
    connection: psycopg.Connection, views: Sequence["FeatureView"], *, users: int | None, seed: int
) -> list[str]:
    table = sql.Identifier(str(LABELS.snapshot_name))
    if connection.execute("SELECT to_regclass(%s) IS NULL", (table.as_string(),)).fetchone() == (True,):
        return []
    rows = sql.SQL("SELECT DISTINCT l.id FROM (SELECT {} AS id FROM {}) AS l WHERE {}").format(
        sql.Identifier(JOIN_KEY), table, _without_row(views, sql.SQL("l.id"))
    )
    return _drawn(connection, rows, users=None if users is None else _LABELLED_ONLY, seed=seed)


def _drawn(connection: psycopg.Connection, rows: sql.Composable, *, users: int | None, seed: int) -> list[str]:
    query = sql.SQL(
        "SELECT r.id FROM ({}) AS r WHERE r.id IS NOT NULL ORDER BY hashtextextended(r.id, {}), r.id LIMIT {}"
    ).format(rows, sql.Literal(seed), sql.Literal(users))
    return [user_id for (user_id,) in connection.execute(query)]


def _online_only(
    connection: psycopg.Connection,
    client: redis.Redis,
    views: Sequence["FeatureView"],
    *,
    project: str,
    users: int | None,
) -> list[str]:
    keys = UserKeys(project=project, join_key=JOIN_KEY)
    online = (user_id for user_id, _ in keys.scan(client)) if users is None else _random_users(client, keys, users)
    query = sql.SQL("SELECT o.id FROM unnest(%(ids)s::text[]) AS o (id) WHERE {} ORDER BY o.id").format(
        _without_row(views, sql.SQL("o.id"))
    )
    found = []
    while batch := list(islice(online, _BATCH_SIZE)):
        found += [user_id for (user_id,) in connection.execute(query, {"ids": batch})]
    return found


def _random_users(client: redis.Redis, keys: UserKeys, draws: int) -> Iterator[str]:
    servers = primaries(client)
    drawn: set[bytes | None] = set()
    for server in servers:
        with server.pipeline(transaction=False) as pipeline:
            for _ in range(-(-draws // len(servers))):
                pipeline.randomkey()
            drawn.update(pipeline.execute())
    for key in drawn:
        user_id = None if key is None else keys.user_id(key)
        if user_id is not None:
            yield user_id


def _without_row(views: Sequence["FeatureView"], user_id: sql.SQL) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("NOT EXISTS (SELECT FROM {table} AS t WHERE t.{key} = {id})").format(
            table=source_table(view), key=sql.Identifier(view.join_keys[0]), id=user_id
        )
        for view in views
    )


def _made_up(seed: int) -> Iterator[str]:
    """Yield ids of the join key's pattern."""
    # Nothing secret depends on these ids.
    drawn = random.Random(seed)  # noqa: S311
    for _ in range(UNKNOWN_USERS):
        yield f"{drawn.randrange(10_000):04}-{''.join(drawn.choices(string.ascii_uppercase, k=5))}"
