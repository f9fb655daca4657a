"""POSTGRES_URL: one PostgreSQL. No error quotes any part of a URL, because each part may be one of a password."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamflow_repo.errors import ConnectionUrlError
from streamflow_repo.settings.secrets import redacted, refuse_unprintable

WRITE_POSTGRES_URL = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

_SCHEMES = ("postgresql://", "postgres://")
_MAX_PORT = 65535


def parse_postgres_url(url: str) -> dict[str, str]:
    """Return what a POSTGRES_URL says, by libpq's names; raise ConnectionUrlError for a malformed URL."""
    refuse_unprintable(url, "POSTGRES_URL")
    parts = _libpq_parts(url) if url.startswith(_SCHEMES) else {}
    if not parts:
        raise ConnectionUrlError(f"POSTGRES_URL is not a PostgreSQL URL; {WRITE_POSTGRES_URL}")
    # libpq takes an @ or a slash in a password for the end of the password, and the rest for host, port or database.
    path = url.partition("://")[2].partition("/")[2].partition("?")[0]
    if url.count("@") > 1 or "@" in path:
        raise ConnectionUrlError("POSTGRES_URL has an @ or a slash in user name or password; write %40 or %2F")
    ports = parts.get("port", "").split(",")
    if not all(port == "" or (port.isascii() and port.isdecimal() and 0 < int(port) <= _MAX_PORT) for port in ports):
        raise ConnectionUrlError(
            f"POSTGRES_URL has a port that is not a number from 1 to {_MAX_PORT}; {WRITE_POSTGRES_URL}"
        )
    return parts


def open_postgres(url: str, *, timeout_s: int) -> psycopg.Connection:
    """Return a new connection, which commits each statement.

    `timeout_s` bounds the attempt to connect, unless the URL has a connect_timeout. Raises ConnectionUrlError, and
    psycopg.Error when PostgreSQL can't be reached.
    """
    parts = {"connect_timeout": str(timeout_s), **parse_postgres_url(url)}
    with redacted(parts.get("password")):
        return psycopg.connect(make_conninfo(**parts), autocommit=True)


def _libpq_parts(url: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (psycopg.Error, UnicodeError):
        return {}
