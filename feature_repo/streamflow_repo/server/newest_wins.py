"""Feast's Redis online store, with writes that never go back in time.

Feast's own store reads the event timestamps, compares them in Python, and then writes: two writers can cross, and a
correction, which has the event timestamp of the row that it corrects, is skipped. With `skip_dedup: true` Feast writes
whatever comes last. Here Redis compares and writes in one step, by a script.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from feast import FeatureView, RepoConfig, utils
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, _versioned_fv_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from redis.exceptions import NoScriptError
from streamflow_logs import Event

_log = logging.getLogger(__name__)

_Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
_Arguments = tuple[Any, ...]

# KEYS: the hash of an entity. ARGV: the hash's time to live in s or 0, the field of the view's event timestamp, the
# row's event timestamp, then the row's other fields and values. Returns 1 if the row was written, 0 if Redis holds a
# newer one. A timestamp is an encoded google.protobuf.Timestamp: seconds in field 1, nanoseconds in field 2, both
# varints (protobuf.dev/programming-guides/encoding). Seven bytes have all bits of the seconds of any year that
# Timestamp allows; a varint of ten bytes is negative. A malformed timestamp counts as older than any row.
_WRITE = """
local stored = redis.call('HGET', KEYS[1], ARGV[2])
if stored and stored ~= ARGV[3] then
  local function moment(encoded)
    local found, at = {[8] = 0, [16] = 0}, 1
    while at <= #encoded do
      local tag, value, scale, length, byte = encoded:byte(at), 0, 1, 0, nil
      repeat
        at, length = at + 1, length + 1
        byte = encoded:byte(at)
        if not byte or not found[tag] then return nil end
        if length <= 7 then
          value, scale = value + byte % 128 * scale, scale * 128
        end
      until byte < 128
      if length == 10 then value = value - scale end
      found[tag], at = value, at + 1
    end
    return found[8], found[16]
  end
  local stored_s, stored_ns = moment(stored)
  local s, ns = moment(ARGV[3])
  if stored_s and (s < stored_s or s == stored_s and ns < stored_ns) then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return 1
"""
_BY_HASH = ("EVALSHA", hashlib.sha1(_WRITE.encode(), usedforsecurity=False).hexdigest())
# Sends the script, which Redis then remembers.
_BY_TEXT = ("EVAL", _WRITE)


class NewestWinsRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The settings of Feast's Redis online store. Feast derives this class's name from the name of the store."""

    # Feast's own field accepts "redis" only.
    type: Literal["streamflow_repo.server.newest_wins.NewestWinsRedisOnlineStore"] = (
        "streamflow_repo.server.newest_wins.NewestWinsRedisOnlineStore"  # type: ignore[assignment]
    )


class NewestWinsRedisOnlineStore(RedisOnlineStore):
    """Writes a row if its event timestamp is newer than that of the view and key in Redis, or equal: a correction.

    Redis compares and writes in one step, so that the newest row remains, whoever else writes at the same time and in
    whatever order. What is written are Feast's own fields and bytes. `skip_dedup: true` has Feast's meaning: each row
    is written over whatever is there.
    """

    def __init__(self) -> None:
        """Creates a store that has not connected yet."""
        super().__init__()
        self._told: set[str] = set()

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[_Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write the rows of a view that are not older than what Redis holds. Raises redis.RedisError."""
        if config.online_store.skip_dedup:
            super().online_write_batch(config, table, data, progress)
            return
        client = self._get_client(config.online_store)
        rows = list(_arguments(config, table, data))
        try:
            written = _write(client, _BY_HASH, rows)
        except NoScriptError:
            # Rows that the first try wrote are written again, which changes nothing.
            written = _write(client, _BY_TEXT, rows)
        self._finish(config, table, written, progress)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[_Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write the rows of a view that are not older than what Redis holds. Raises redis.RedisError."""
        if config.online_store.skip_dedup:
            await super().online_write_batch_async(config, table, data, progress)
            return
        client = await self._get_client_async(config.online_store)
        rows = list(_arguments(config, table, data))
        try:
            written = await _write_async(client, _BY_HASH, rows)
        except NoScriptError:
            written = await _write_async(client, _BY_TEXT, rows)
        self._finish(config, table, written, progress)

    def _finish(
        self, config: RepoConfig, table: FeatureView, written: Sequence[int], progress: Callable[[int], Any] | None
    ) -> None:
        if progress:
            progress(len(written))
        view = _versioned_fv_name(table, config)
        left_out = written.count(0)
        if left_out and view not in self._told:
            self._told.add(view)
            _log.warning(
                Event(
                    "older rows left out",
                    reason="Redis holds newer ones; to go back on purpose, run `offline materialize --as-of TIME`",
                    view=view,
                    count=left_out,
                    rows=len(written),
                )
            )


def _write(client: Any, script: tuple[str, str], rows: Sequence[_Arguments]) -> list[int]:
    with client.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.execute_command(*script, 1, *row)
        written: list[int] = pipe.execute()
    return written


async def _write_async(client: Any, script: tuple[str, str], rows: Sequence[_Arguments]) -> list[int]:
    async with client.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.execute_command(*script, 1, *row)
        written: list[int] = await pipe.execute()
    return written


def _arguments(config: RepoConfig, table: FeatureView, data: Sequence[_Row]) -> Iterator[_Arguments]:
    """Yield the script's key and arguments for each row."""
    view = _versioned_fv_name(table, config)
    stamp_field = f"_ts:{view}"
    ttl_s = config.online_store.key_ttl_seconds or 0
    for entity_key, values, event_timestamp, _ in data:
        row: list[Any] = [
            _redis_key(
                config.project,
                entity_key,
                entity_key_serialization_version=config.entity_key_serialization_version,
            ),
            ttl_s,
            stamp_field,
            _encoded(utils.make_tzaware(event_timestamp)),
        ]
        for name, value in values.items():
            row += (_field(view, name), value.SerializeToString())
        yield tuple(row)


# The rows of a batch share few event timestamps.
@lru_cache(maxsize=10_000)
def _encoded(moment: datetime) -> bytes:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp.SerializeToString()


@lru_cache(maxsize=10_000)
def _field(view: str, feature: str) -> bytes:
    """Return the field of a feature in an entity's hash."""
    field: bytes = _mmh3(f"{view}:{feature}")
    return field
