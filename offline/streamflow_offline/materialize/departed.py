"""Users in Redis that PostgreSQL no longer has: Feast only ever writes, so a removed row would be served for good."""

from collections.abc import Sequence

import psycopg
import redis

from streamflow_offline.materialize.freshness import departed
from streamflow_offline.materialize.newest import NewestRows
from streamflow_offline.user_keys import UserKeys


def remove_departed(
    client: redis.Redis, connection: psycopg.Connection, keys: UserKeys, rows: NewestRows, *, number: int
) -> int:
    """Delete from Redis the view's fields of the users whom PostgreSQL does not have; return how many users that were.

    It goes by what `read_online` has read; `number` is the view's in that. Raises redis.RedisError and psycopg.Error.
    """
    fields = _fields(rows)
    return sum(
        _delete(client, [keys.key(user_id) for user_id in batch], fields)
        for batch in departed(connection, rows, number=number)
    )


def _fields(rows: NewestRows) -> list[bytes]:
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415  # takes seconds

    return [f"_ts:{rows.name}".encode(), *(_mmh3(f"{rows.name}:{feature.name}") for feature in rows.view.features)]


def _delete(client: redis.Redis, keys: Sequence[bytes], fields: Sequence[bytes]) -> int:
    """Delete fields under some keys; return under how many there were any."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hdel(key, *fields)  # type: ignore[arg-type]  # its annotation forgets that keys are bytes
        return sum(1 for deleted in pipeline.execute() if deleted)
