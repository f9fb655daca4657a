"""pytest fixtures: real servers on free ports, started once for each process of a test run and stopped at its end."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

# Ahead of Feast, which makes prometheus_client add up the counters of all of a process's gateways.
import prometheus_client  # noqa: F401  # imported for the order alone
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from streamflow_repo.runtime_checks import leave_out_runtime_checks

from streamflow_local import ports, postgres, valkey
from streamflow_local.debian import debian_program
from streamflow_local.layout import Layout
from streamflow_local.process import ProcessSpec, spawn, stop
from streamflow_local.waiting import wait_until

if TYPE_CHECKING:
    from streamflow_local.chromium import Chromium

_READY_TIMEOUT_S = 60

# A file system in memory: PostgreSQL copies a database there in 30 ms, and on a disk in up to a second.
_MEMORY = Path("/dev/shm")  # noqa: S108  # only temporary folders of random names are made there
_MEMORY_NEEDED_BYTES = 4 * 2**30

# A crash of the machine may lose the tests' databases.
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")

# The jobs leave them out too; they take half of Feast's import.
leave_out_runtime_checks()

# How long an example takes says how busy the machine is. CI has the same examples for each change, so that a change is
# refused for what it changes; elsewhere each run has new ones.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("untimed")


@contextmanager
def running(spec: ProcessSpec, *, log: Path) -> Iterator[int]:
    """Run a process for the length of a block; yield its pid."""
    with log.open("ab") as output:
        process = spawn(spec, environment=os.environ, log=output)
        try:
            yield process.pid
        finally:
            stop(process, spec)


def wait_for_port(port: int, *, log: Path, timeout_s: float = _READY_TIMEOUT_S) -> None:
    """Return once a loopback port accepts connections; raise TimeoutError with the end of `log` after `timeout_s`."""
    wait_until(
        lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close(),
        failing=OSError,
        timeout_s=timeout_s,
        complaint=lambda: (
            f"{log.read_text(encoding='utf-8', errors='replace')[-2000:]}\nnothing listens on port {port}"
        ),
    )


@contextmanager
def copied_database(socket_dir: Path, name: str, *, template: str = "template1") -> Iterator[str]:
    """Yield the URL of a new database, a copy of `template`, and drop the database at the end."""
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(postgres.url(socket_dir, "postgres"), autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield postgres.url(socket_dir, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def state_dir() -> Iterator[Path]:
    """A folder for the servers' data and logs, in memory if there is room; its path fits a Unix socket."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED_BYTES
    with tempfile.TemporaryDirectory(
        prefix="streamflow-test-", dir=_MEMORY if in_memory else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres_socket_dir(state_dir: Path) -> Iterator[Path]:
    """The socket folder of a real PostgreSQL, which does not wait for its disk."""
    socket_dir = state_dir / "postgres-socket"
    spec = postgres.prepare(state_dir / "postgres", socket_dir)
    options = (argument for option in _NOT_DURABLE for argument in ("-c", option))
    with running(replace(spec, command=(*spec.command, *options)), log=state_dir / "postgres.log"):
        postgres.wait_until_ready(postgres.url(socket_dir, "postgres"), timeout_s=_READY_TIMEOUT_S)
        yield socket_dir


@pytest.fixture
def postgres_url(postgres_socket_dir: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    with copied_database(postgres_socket_dir, name) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(state_dir: Path) -> Iterator[str]:
    """The URL of a real Valkey."""
    port = ports.free_port()
    with running(valkey.prepare(state_dir / "valkey", port=port), log=state_dir / "valkey.log"):
        url = valkey.url(port)
        valkey.wait_until_ready(url, timeout_s=_READY_TIMEOUT_S)
        yield url


def _of_debian(package: str, program: str) -> Path:
    found = debian_program(package, program, kept=Layout.of_environment({}).state / "debian")
    if found is None:
        pytest.skip(f"there is no {program} on the PATH, and apt-get can't download Debian's {package}")
    return found


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own checker of rules."""
    return _of_debian("prometheus", "promtool")


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """Prometheus."""
    return _of_debian("prometheus", "prometheus")


@pytest.fixture(scope="session")
def chromium() -> "Chromium":
    """A browser."""
    # Playwright is for these tests alone.
    from streamflow_local.chromium import chromium as find  # noqa: PLC0415

    found = find(kept=Layout.of_environment({}).state / "debian")
    if found is None:
        pytest.skip("there is no chromium on the PATH, and apt-get can't download Debian's chromium")
    return found


@pytest.fixture(scope="session")
def pushgateway_url(state_dir: Path) -> Iterator[str]:
    """The URL of a real Pushgateway."""
    port = ports.free_port()
    program = _of_debian("prometheus-pushgateway", "prometheus-pushgateway")
    spec = ProcessSpec(name="pushgateway", command=(str(program), f"--web.listen-address=127.0.0.1:{port}"))
    log = state_dir / "pushgateway.log"
    with running(spec, log=log):
        wait_for_port(port, log=log)
        yield f"http://127.0.0.1:{port}"
