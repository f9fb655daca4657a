"""REDIS_URL: one Redis, or a Redis Cluster by some of its nodes.

No error quotes any part of a URL, because each part may be one of a password.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

from streamflow_repo.errors import ConnectionUrlError
from streamflow_repo.settings.secrets import redacted, refuse_unprintable

if TYPE_CHECKING:
    import redis

_DEFAULT_PORT = 6379
_SCHEMES = {
    "redis": (False, False),
    "rediss": (False, True),
    "redis-cluster": (True, False),
    "rediss-cluster": (True, True),
}
_WRITE = (
    "write redis://[USER:PASSWORD@]HOST[:PORT][/DB], or redis-cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]; "
    "rediss:// and rediss-cluster:// for TLS"
)


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """What a REDIS_URL says."""

    nodes: Sequence[tuple[str, int]]
    """Host and port; of a cluster, the nodes that are asked for the others."""

    cluster: bool
    tls: bool
    username: str | None
    password: str | None

    database: int
    """Its number; a cluster has 0 only."""


def parse_redis_url(url: str) -> RedisAddress:
    """Return what a REDIS_URL says; raise ConnectionUrlError for a malformed URL."""
    refuse_unprintable(url, "REDIS_URL")
    parts = _split(url)
    if parts.scheme not in _SCHEMES:
        raise ConnectionUrlError(f"REDIS_URL is not a Redis URL; {_WRITE}")
    cluster, tls = _SCHEMES[parts.scheme]
    credentials, _, hosts = parts.netloc.rpartition("@")
    nodes = [_node(host) for host in hosts.split(",")]
    if len(nodes) > 1 and not cluster:
        raise ConnectionUrlError("REDIS_URL names several hosts, as only redis-cluster:// and rediss-cluster:// may")
    if parts.query or parts.fragment:
        raise ConnectionUrlError(
            "REDIS_URL has a ? or a #; Feast would not get its parameters, so leave them out, and write %3F or %23 "
            "in a password"
        )
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise ConnectionUrlError("REDIS_URL names a database that is not a number, such as /0; write %2F in a password")
    if cluster and database != "0":
        raise ConnectionUrlError("REDIS_URL names a database other than 0, and a Redis Cluster has 0 only")
    username, _, password = credentials.partition(":")
    return RedisAddress(
        nodes=nodes,
        cluster=cluster,
        tls=tls,
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=int(database),
    )


def open_redis(url: str, *, timeout_s: float) -> "redis.Redis":
    """Return a client of the Redis or the Redis Cluster behind a REDIS_URL, with the same methods for both.

    `timeout_s` bounds each connection's start and each reply. A cluster is asked for its nodes at once, so that
    redis.RedisError may be raised here already. Raises ConnectionUrlError.
    """
    # redis-py takes a while to import, and the URL alone is often enough.
    import redis  # noqa: PLC0415
    from redis.cluster import ClusterNode, RedisCluster  # noqa: PLC0415

    address = parse_redis_url(url)
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "ssl": address.tls,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }

    def log_in(connection: Any) -> None:
        with redacted(address.password):
            connection.on_connect()

    if not address.cluster:
        [(host, port)] = address.nodes
        options["redis_connect_func"] = log_in
        return redis.Redis(host, port, db=address.database, **options)
    with redacted(address.password):
        client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],  # type: ignore[no-untyped-call]
            **options,
        )
    # Not a subclass, but it has all of Redis's commands and pipelines.
    return cast("redis.Redis", client)


def primaries(client: "redis.Redis") -> list["redis.Redis"]:
    """Return a client of each server whose keys are the others' in part: a cluster's primaries, or the only Redis."""
    from redis.cluster import RedisCluster  # noqa: PLC0415  # as above

    if isinstance(client, RedisCluster):
        return [client.get_redis_connection(node) for node in client.get_primaries()]
    return [client]


def _node(text: str) -> tuple[str, int]:
    parts = _split(f"//{text}")
    if not parts.hostname:
        raise ConnectionUrlError(f"REDIS_URL is not a Redis URL; {_WRITE}")
    if ":" in parts.hostname:
        raise ConnectionUrlError("REDIS_URL names an IPv6 address, which Feast can't parse; use a host name")
    try:
        return parts.hostname, parts.port or _DEFAULT_PORT
    except ValueError:
        raise ConnectionUrlError(f"REDIS_URL has a port that is not a number from 0 to 65535; {_WRITE}") from None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        # Its message may quote host and password.
        raise ConnectionUrlError(f"REDIS_URL is not a Redis URL; {_WRITE}") from None
