"""The variables that feature_store.yaml reads, derived from two URLs."""

import json
from collections.abc import Mapping

from sqlalchemy.engine import URL

from streamflow_repo.errors import ConnectionUrlError
from streamflow_repo.settings.password_file import with_password
from streamflow_repo.settings.postgres_url import WRITE_POSTGRES_URL, parse_postgres_url
from streamflow_repo.settings.redis_url import parse_redis_url
from streamflow_repo.settings.spark import offline_store_environment

__all__ = [
    "JOB_REDIS_TIMEOUT_S",
    "ONLINE_STORE",
    "REGISTRY_SCHEMA",
    "SERVING_REDIS_TIMEOUT_S",
    "ConnectionUrlError",
    "feast_environment",
    "urls_from_environment",
]

SERVING_REDIS_TIMEOUT_S = 0.25
"""How long a feature server waits for Redis. Then the read fails, so that the caller gets an answer in time."""

JOB_REDIS_TIMEOUT_S = 30.0
"""How long a job waits for Redis: a batch of 10,000 writes takes longer than a read."""

ONLINE_STORE = "streamflow_repo.server.newest_wins.NewestWinsRedisOnlineStore"
"""The online store of every process that writes to Redis."""

REGISTRY_SCHEMA = "feast"
"""The PostgreSQL schema of Feast's registry tables. A team's own tables may have names such as "projects" too."""

_POSTGRES_CONNECT_TIMEOUT_S = 5
_LIBPQ_TLS_FILES = ("sslrootcert", "sslcert", "sslkey")
# The last two are used by clients that connect with the URL itself.
_LIBPQ_KNOWN = {
    *("host", "port", "dbname", "user", "password", "sslmode"),
    *_LIBPQ_TLS_FILES,
    *("connect_timeout", "application_name"),
}


def feast_environment(
    *, postgres_url: str, redis_url: str, redis_timeout_s: float = SERVING_REDIS_TIMEOUT_S
) -> dict[str, str]:
    """Return the variables that feature_store.yaml reads, each as a quoted YAML scalar, and those of the offline store.

    `postgres_url` is a libpq URL, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…", where `?host=/DIR` names a
    socket's folder; `redis_url` is "redis://" or, for TLS, "rediss://[USER:PASSWORD@]HOST[:PORT][/DB]", and for a Redis
    Cluster "redis-cluster://" or "rediss-cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]".

    Raises ConnectionUrlError for a URL that can't be expressed in Feast's settings, and OfflineStoreError for a
    FEAST_OFFLINE_STORE of this process that can't be used.
    """
    values = {
        **_postgres_environment(postgres_url),
        "FEAST_ONLINE_STORE": ONLINE_STORE,
        **_redis_environment(redis_url, redis_timeout_s),
    }
    # Feast expands variables in the YAML text before it parses it, so a quote in a password would end the scalar.
    # A JSON string is a YAML scalar.
    return {name: json.dumps(value) for name, value in values.items()} | offline_store_environment()


def urls_from_environment(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return POSTGRES_URL and REDIS_URL, each with the password of its POSTGRES_PASSWORD_FILE or REDIS_PASSWORD_FILE.

    Raises ConnectionUrlError when a URL is missing or malformed, or a file can't be used.
    """
    stores = ("POSTGRES", "REDIS")
    missing = [f"{store}_URL" for store in stores if not environment.get(f"{store}_URL")]
    if missing:
        raise ConnectionUrlError(
            f"{' and '.join(missing)} must be set; with the local stack running, `. .local/env` sets both"
        )
    postgres_url, redis_url = (with_password(environment, store) for store in stores)
    parse_postgres_url(postgres_url)
    parse_redis_url(redis_url)
    return postgres_url, redis_url


def _postgres_environment(url: str) -> dict[str, str | None]:
    parts = _parts_for_feast(url)
    on_socket = parts["host"].startswith("/")
    tls = {name: parts[name] for name in _LIBPQ_TLS_FILES if name in parts}
    registry = URL.create(
        "postgresql+psycopg",
        username=parts["user"],
        password=parts.get("password"),
        host=None if on_socket else parts["host"],
        port=None if on_socket else int(parts["port"]),
        database=parts["dbname"],
        query={
            "options": f"-csearch_path={REGISTRY_SCHEMA}",
            "connect_timeout": str(_POSTGRES_CONNECT_TIMEOUT_S),
            "sslmode": parts["sslmode"],
            **tls,
            **({"host": parts["host"], "port": parts["port"]} if on_socket else {}),
        },
    )
    return {
        "FEAST_REGISTRY_URL": registry.render_as_string(hide_password=False),
        "FEAST_POSTGRES_HOST": parts["host"],
        "FEAST_POSTGRES_PORT": parts["port"],
        "FEAST_POSTGRES_DATABASE": parts["dbname"],
        "FEAST_POSTGRES_USER": parts["user"],
        "FEAST_POSTGRES_PASSWORD": parts.get("password", ""),
        "FEAST_POSTGRES_SSLMODE": parts["sslmode"],
        **{f"FEAST_POSTGRES_{name.upper()}": tls.get(name) for name in _LIBPQ_TLS_FILES},
    }


def _parts_for_feast(url: str) -> dict[str, str]:
    """Return a URL's parts by libpq's names, with libpq's defaults. Raises ConnectionUrlError."""
    # libpq ignores sslmode on a socket; "prefer" is its own default for TCP, where Feast's would be "require".
    parts = {"port": "5432", "sslmode": "prefer", **parse_postgres_url(url)}
    for name, what in (("host", "host"), ("dbname", "database"), ("user", "user")):
        if not parts.get(name):
            raise ConnectionUrlError(f"POSTGRES_URL names no {what}; {WRITE_POSTGRES_URL}")
    if "," in parts["host"]:
        raise ConnectionUrlError("POSTGRES_URL names several hosts, which Feast can't use; name the primary")
    ignored = sorted(set(parts) - _LIBPQ_KNOWN)
    if ignored:
        raise ConnectionUrlError(
            f"POSTGRES_URL has parameters that Feast would not get: {', '.join(ignored)}; leave them out"
        )
    return parts


def _redis_environment(url: str, timeout_s: float) -> dict[str, str]:
    address = parse_redis_url(url)
    options: dict[str, object] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    if address.database:
        options["db"] = address.database
    if address.tls:
        options["ssl"] = True
    for name, value in (("username", address.username), ("password", address.password)):
        if value is None:
            continue
        if "," in value:
            # Feast splits its connection string at commas, and has no way to escape one.
            raise ConnectionUrlError(f"REDIS_URL has a {name} with a comma, which Feast can't parse; change it")
        options[name] = value
    # By default redis-py retries three times with backoff, which delays a read for seconds after its timeout. A
    # cluster's client retries otherwise, every 0.25 s: that is how it learns that a node is gone.
    if not address.cluster:
        options["retry"] = None
    nodes = (f"{host}:{port}" for host, port in address.nodes)
    return {
        "FEAST_REDIS_TYPE": "redis_cluster" if address.cluster else "redis",
        # Feast reads each value as JSON where it can: quoting keeps a password such as "12e45" a string.
        "FEAST_REDIS_CONNECTION": ",".join(
            [*nodes, *(f"{name}={json.dumps(value)}" for name, value in options.items())]
        ),
    }
