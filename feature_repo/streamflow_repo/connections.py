"""The environment that feature_store.yaml reads, derived from two URLs."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

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


def _postgres_environment(url: str) -> dict[str, str]:
    try:
        parts = conninfo_to_dict(url)
    except Exception as error:
        raise ConnectionUrlError(f"POSTGRES_URL is not a PostgreSQL URL: {error}") from error
    host, database = str(parts.get("host") or ""), str(parts.get("dbname") or "")
    user, password = str(parts.get("user") or ""), str(parts.get("password") or "")
    for value, what in ((host, "host"), (database, "database"), (user, "user")):
        if not value:
            raise ConnectionUrlError(
                f"POSTGRES_URL names no {what}; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
    if "," in host:
        raise ConnectionUrlError("POSTGRES_URL names several hosts, which Feast can't use; name the primary")
    port = int(parts.get("port") or 5432)
    # libpq ignores sslmode on a socket; "prefer" is its own default for TCP, where Feast's would be "require".
    sslmode = str(parts.get("sslmode") or "prefer")
    registry = URL.create(
        "postgresql+psycopg",
        username=user,
        password=password or None,
        host=None if host.startswith("/") else host,
        port=None if host.startswith("/") else port,
        database=database,
        query={
            "options": f"-csearch_path={REGISTRY_SCHEMA}",
            "connect_timeout": str(_POSTGRES_CONNECT_TIMEOUT_S),
            "sslmode": sslmode,
            **({"host": host, "port": str(port)} if host.startswith("/") else {}),
        },
    )
    return {
        "FEAST_REGISTRY_URL": registry.render_as_string(hide_password=False),
        "FEAST_POSTGRES_HOST": host,
        "FEAST_POSTGRES_PORT": str(port),
        "FEAST_POSTGRES_DATABASE": database,
        "FEAST_POSTGRES_USER": user,
        "FEAST_POSTGRES_PASSWORD": password,
        "FEAST_POSTGRES_SSLMODE": sslmode,
    }


def _redis_connection(url: str, timeout_s: float) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ConnectionUrlError(
            "REDIS_URL is not a Redis URL; write redis://[USER:PASSWORD@]HOST[:PORT][/DB], or rediss:// for TLS"
        )
    if ":" in parts.hostname:
        raise ConnectionUrlError("REDIS_URL names an IPv6 address, which Feast can't parse; use a host name")
    if parts.query:
        names = ", ".join(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
        raise ConnectionUrlError(f"REDIS_URL has parameters that are not passed on ({names}); leave them out")
    database = parts.path.strip("/") or "0"
    if not database.isdigit():
        raise ConnectionUrlError(f"REDIS_URL names the database {database!r}; it is a number, such as /0")
    options: dict[str, str | int | float | bool] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
    }
    if database != "0":
        options["db"] = int(database)
    if parts.scheme == "rediss":
        options["ssl"] = True
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            text = unquote(value)
            if "," in text:
                # Feast splits its connection string there, and has no escape for it.
                raise ConnectionUrlError(f"REDIS_URL has a {name} with a comma, which Feast can't parse; change it")
            options[name] = text
    # Feast reads each value as JSON where it can: quoting keeps a password such as "12e45" a string.
    written = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    # retry=null: redis-py's default of three retries with backoff holds a read up for seconds after its timeout.
    return ",".join([f"{parts.hostname}:{parts.port or _REDIS_DEFAULT_PORT}", *written, "retry=null"])
