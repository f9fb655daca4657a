"""Users in Redis that PostgreSQL no longer has: Feast only ever writes, so a removed row would be served for good."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import psycopg
import redis
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.view_sql import event_timestamp_utc, source_table

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView

_BATCH_SIZE = 5000
_REDIS_TIMEOUT_S = 30.0


def remove_departed(
    store: "FeatureStore",
    views: Sequence["FeatureView"],
    connection: psycopg.Connection,
    *,
    redis_url: str,
    until: datetime,
) -> dict[str, int]:
    """Delete from Redis each view's fields of the users whom its table has no row of up to `until`.

    Returns how many users that were, by view. Keys that are not of this project's users are left alone. Raises JobError
    when Redis fails.
    """
    removed = {str(view.name): 0 for view in views}
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=_REDIS_TIMEOUT_S) as client:
            for keys in _batches(_user_keys(client, str(store.project), views[0].join_keys[0])):
                for view in views:
                    absent = _absent(connection, view, list(keys), until)
                    removed[str(view.name)] += _delete(client, view, [keys[user_id] for user_id in absent])
    except redis.RedisError as error:
        raise JobError(f"Redis failed while departed users were looked for: {error}; check REDIS_URL") from error
    return removed


def _user_keys(client: redis.Redis, project: str, join_key: str) -> Iterator[tuple[str, bytes]]:
    """Yield user ids and their Redis keys: the serialized entity key, then the project (feast's helpers._redis_key)."""
    from feast.infra.key_encoding_utils import deserialize_entity_key  # noqa: PLC0415  # takes seconds

    suffix = project.encode()
    for key in client.scan_iter(match=b"*" + suffix, count=1000):
        try:
            entity_key = deserialize_entity_key(key.removesuffix(suffix), entity_key_serialization_version=3)
        except (ValueError, UnicodeDecodeError):
            continue
        if list(entity_key.join_keys) == [join_key]:
            yield entity_key.entity_values[0].string_val, key


def _batches(keys: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    while batch := dict(islice(keys, _BATCH_SIZE)):
        yield batch


def _absent(connection: psycopg.Connection, view: "FeatureView", user_ids: list[str], until: datetime) -> list[str]:
    query = sql.SQL(
        "SELECT asked.id FROM unnest(%(ids)s::text[]) AS asked (id) WHERE NOT EXISTS"
        " (SELECT FROM {table} WHERE {key} = asked.id AND {event} <= %(until)s)"
    ).format(table=source_table(view), key=sql.Identifier(view.join_keys[0]), event=event_timestamp_utc(view))
    return [user_id for (user_id,) in connection.execute(query, {"ids": user_ids, "until": until})]


def _delete(client: redis.Redis, view: "FeatureView", keys: list[bytes]) -> int:
    """Delete a view's fields under some keys; return under how many there were any."""
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415  # takes seconds

    if not keys:
        return 0
    fields = [f"_ts:{view.name}".encode(), *(_mmh3(f"{view.name}:{feature.name}") for feature in view.features)]
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hdel(key, *fields)  # type: ignore[arg-type]  # its annotation forgets that keys are bytes
        return sum(1 for deleted in pipeline.execute() if deleted)
