"""The users that the online store has, read from its keys."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.cluster import RedisCluster
from streamflow_offline.user_keys import UserKeys

_TIMEOUT_S = 5.0
_NO_URL = "REDIS_URL is not a Redis URL; in user name and password, write special characters as %XX"


class StoreError(Exception):
    """The store can't be read, or has no users; the message says what to do."""


def user_ids(environment: Mapping[str, str], *, join_key: str, at_most: int) -> list[str]:
    """Return the user ids that the Redis of REDIS_URL has features of, in order.

    REDIS_PASSWORD_FILE may name a file that has the password. Raises StoreError.
    """
    url = environment.get("REDIS_URL")
    if not url:
        raise StoreError("REDIS_URL is not set: it names the online store whose users are asked for")
    where = _host(url)
    try:
        client = _client(url, _password(environment))
        found = sorted(islice(_each_once(UserKeys(join_key=join_key), client), at_most))
        client.close()
    except (redis.RedisError, OSError) as error:
        raise StoreError(f"the online store at {where} can't be read: {type(error).__name__} {error}") from error
    except ValueError:
        raise StoreError(_NO_URL) from None
    if not found:
        raise StoreError(f"the online store at {where} has no users; materialize first")
    return found


def _host(url: str) -> str:
    """Return host and port of a URL; raise StoreError, which quotes nothing of the URL, if they can't be told."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StoreError(_NO_URL) from None
    host = parts.netloc.rpartition("@")[2]
    # With a #, a ? or a slash in its password, the host would be a part of the password.
    if not host or not url.isprintable() or "@" in parts.path + parts.query + parts.fragment:
        raise StoreError(_NO_URL)
    return host


def _each_once(keys: UserKeys, client: Any) -> Iterator[str]:
    seen: set[str] = set()
    for user_id, _ in keys.scan(client):
        if user_id not in seen:
            seen.add(user_id)
            yield user_id


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
