"""The users that the online store has, read from its keys."""

import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import redis
from redis.cluster import RedisCluster

_TIMEOUT_S = 5.0
_SCAN_COUNT = 1000
# Feast's ValueType.STRING.
_STRING = 2


class StoreError(Exception):
    """The store can't be read, or has no users; the message says what to do."""


def user_ids(environment: Mapping[str, str], *, join_key: str, at_most: int) -> list[str]:
    """Return the user ids that the Redis of REDIS_URL has features of, in order.

    REDIS_PASSWORD_FILE may name a file that has the password. Raises StoreError.
    """
    url = environment.get("REDIS_URL")
    if not url:
        raise StoreError("REDIS_URL is not set: it names the online store whose users are asked for")
    # Without the credentials that it may have.
    where = url.rpartition("@")[2].rpartition("/")[2] if "@" in url else url
    try:
        client = _client(url, _password(environment))
        found = sorted(islice(_ids(client, join_key), at_most))
        client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        raise StoreError(f"the online store at {where} can't be read: {type(error).__name__} {error}") from error
    if not found:
        raise StoreError(f"the online store at {where} has no users; materialize first")
    return found


def _ids(client: Any, join_key: str) -> Iterator[str]:
    prefix = _key_prefix(join_key)
    pattern = b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in prefix) + b"*"
    seen = set()
    # A scan may name a key more than once.
    for key in client.scan_iter(match=pattern, count=_SCAN_COUNT):
        (size,) = struct.unpack_from("<I", key, len(prefix))
        start = len(prefix) + 4
        user_id = key[start : start + size].decode()
        if user_id not in seen:
            seen.add(user_id)
            yield user_id


def _key_prefix(join_key: str) -> bytes:
    """Return how all keys of Feast's begin that have one join key, a string (entity_key_serialization_version 3)."""
    name = join_key.encode()
    return struct.pack("<III", 1, _STRING, len(name)) + name + struct.pack("<I", _STRING)


def _client(url: str, password: str | None) -> Any:
    options: dict[str, Any] = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    if password is not None:
        options["password"] = password
    scheme, _, rest = url.partition("://")
    if scheme.endswith("-cluster"):
        return RedisCluster.from_url(f"{scheme.removesuffix('-cluster')}://{rest.split(',')[0]}", **options)
    return redis.Redis.from_url(url, **options)


def _password(environment: Mapping[str, str]) -> str | None:
    file = environment.get("REDIS_PASSWORD_FILE")
    return Path(file).read_text(encoding="utf-8").rstrip("\r\n") if file else None
