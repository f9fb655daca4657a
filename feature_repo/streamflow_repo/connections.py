"""The environment that feature_store.yaml reads, derived from two URLs."""

import json
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL

SERVING_REDIS_TIMEOUT_S = 0.25
"""How long a feature server waits for Redis; past it the read fails, so that the caller can be answered."""

JOB_REDIS_TIMEOUT_S = 30.0
"""How long a job waits for Redis: a batch of 10,000 writes takes longer than a read."""

REGISTRY_SCHEMA = "feast"
"""The PostgreSQL schema of Feast's registry tables, whose names, such as "projects", a team's own tables may share."""

_POSTGRES_CONNECT_TIMEOUT_S = 5
_REDIS_DEFAULT_PORT = 6379
_LIBPQ_TLS_FILES = ("sslrootcert", "sslcert", "sslkey")
# The last two are for the clients that use the URL itself.
_LIBPQ_KNOWN = {
    *("host", "port", "dbname", "user", "password", "sslmode"),
    *_LIBPQ_TLS_FILES,
    *("connect_timeout", "application_name"),
}
_WRITE_POSTGRES = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_WRITE_REDIS = "write redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS"


class ConnectionUrlError(ValueError):
    """A POSTGRES_URL or REDIS_URL that can't be used; the message says why and what to write instead."""


def feast_environment(
    *, postgres_url: str, redis_url: str, redis_timeout_s: float = SERVING_REDIS_TIMEOUT_S
) -> dict[str, str]:
    """Return the variables that feature_store.yaml reads, each as a quoted YAML scalar.

    `postgres_url` is a libpq URL, "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…", where `?host=/DIR` names a
    socket's folder; `redis_url` is "redis://" or, for TLS, "rediss://[USER:PASSWORD@]HOST[:PORT][/DB]".

    Raises ConnectionUrlError for a URL that can't be expressed in Feast's settings.
    """
    values = {
        **_postgres_environment(postgres_url),
        # Feast's own; the feature servers have another (serve.py).
        "FEAST_ONLINE_STORE": "redis",
        "FEAST_REDIS_CONNECTION": _redis_connection(redis_url, redis_timeout_s),
    }
    # Feast expands variables in the YAML text before it parses it, so a quote in a password would end the scalar.
    # A JSON string is a YAML scalar.
    return {name: json.dumps(value) for name, value in values.items()}


def urls_from_environment(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return POSTGRES_URL and REDIS_URL; raise ConnectionUrlError when one is missing."""
    urls = [environment.get(name, "") for name in ("POSTGRES_URL", "REDIS_URL")]
    missing = [name for name, url in zip(("POSTGRES_URL", "REDIS_URL"), urls, strict=True) if not url]
    if missing:
        raise ConnectionUrlError(
            f"{' and '.join(missing)} must be set; with the local stack running, `. .local/env` sets both"
        )
    return urls[0], urls[1]


def _postgres_environment(url: str) -> dict[str, str | None]:
    parts = _libpq_parts(url)
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


def _libpq_parts(url: str) -> dict[str, str]:
    """Return a URL's parts by libpq's names, with libpq's defaults; no refusal quotes the URL, which has a password."""
    try:
        given = conninfo_to_dict(url) if "://" in url else {}
    except ProgrammingError:
        given = {}
    if not given:
        raise ConnectionUrlError(f"POSTGRES_URL is not a PostgreSQL URL; {_WRITE_POSTGRES}")
    # libpq ignores sslmode on a socket; "prefer" is its own default for TCP, where Feast's would be "require".
    parts = {"port": "5432", "sslmode": "prefer", **{name: str(value) for name, value in given.items()}}
    for name, what in (("host", "host"), ("dbname", "database"), ("user", "user")):
        if not parts.get(name):
            raise ConnectionUrlError(f"POSTGRES_URL names no {what}; {_WRITE_POSTGRES}")
    if "," in parts["host"]:
        raise ConnectionUrlError("POSTGRES_URL names several hosts, which Feast can't use; name the primary")
    if not parts["port"].isdecimal():
        raise ConnectionUrlError(f"POSTGRES_URL names the port {parts['port']!r}; {_WRITE_POSTGRES}")
    ignored = sorted(set(parts) - _LIBPQ_KNOWN)
    if ignored:
        raise ConnectionUrlError(
            f"POSTGRES_URL has parameters that Feast would not get: {', '.join(ignored)}; leave them out"
        )
    return parts


def _redis_connection(url: str, timeout_s: float) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _REDIS_DEFAULT_PORT
    except ValueError as error:
        raise ConnectionUrlError(f"REDIS_URL is not a Redis URL: {error}; {_WRITE_REDIS}") from error
    if parts.scheme not in {"redis", "rediss"} or not host:
        raise ConnectionUrlError(f"REDIS_URL is not a Redis URL; {_WRITE_REDIS}")
    if ":" in host:
        raise ConnectionUrlError("REDIS_URL names an IPv6 address, which Feast can't parse; use a host name")
    if parts.query:
        names = ", ".join(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
        raise ConnectionUrlError(f"REDIS_URL has parameters that Feast would not get: {names}; leave them out")
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise ConnectionUrlError(f"REDIS_URL names the database {database!r}; it is a number, such as /0")
    options: dict[str, object] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    if database != "0":
        options["db"] = int(database)
    if parts.scheme == "rediss":
        options["ssl"] = True
    options |= _redis_credentials(parts)
    # redis-py's default of three retries with backoff holds a read up for seconds after its timeout.
    options["retry"] = None
    # Feast reads each value as JSON where it can: quoting keeps a password such as "12e45" a string.
    return ",".join([f"{host}:{port}", *(f"{name}={json.dumps(value)}" for name, value in options.items())])


def _redis_credentials(parts: SplitResult) -> dict[str, str]:
    credentials = {
        name: unquote(value) for name, value in (("username", parts.username), ("password", parts.password)) if value
    }
    for name, value in credentials.items():
        if "," in value:
            # Feast splits its connection string there, and has no escape for it.
            raise ConnectionUrlError(f"REDIS_URL has a {name} with a comma, which Feast can't parse; change it")
    return credentials
