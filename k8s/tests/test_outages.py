"""A store goes away under the manifests' own servers: readiness tells so, and nothing is restarted."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen

import pytest
from manifests import Combination, Manifests
from process_fixtures import CANARY, expect_unready, node_over, wait_until_ready
from processes import Container
from streamflow_features import FeatureClient
from streamflow_local import ports, postgres, valkey
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running
from streamflow_local.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_TIMEOUT_S = 60


@dataclass
class Postgres:
    """A PostgreSQL that can go away."""

    spec: ProcessSpec
    url: str
    log: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        self.stack.enter_context(running(self.spec, log=self.log))
        postgres.wait_until_ready(self.url, timeout_s=_TIMEOUT_S)

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stack.close()
        yield
        self.start()


@dataclass
class Bed:
    """A gateway in front of a feature server, over stores of their own."""

    servers: dict[str, tuple[Container, Popen[bytes]]]
    postgres: Postgres
    redis_pid: int

    @contextmanager
    def redis_away(self) -> Iterator[None]:
        """Freeze Redis for the length of a block."""
        os.kill(self.redis_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.redis_pid, signal.SIGCONT)

    def wait_until_unready(self) -> None:
        for container, _ in self.servers.values():
            wait_until(
                partial(expect_unready, container),
                failing=AssertionError,
                timeout_s=_TIMEOUT_S,
                complaint=partial(getattr, container, "log"),
            )

    def expect_living(self) -> None:
        for container, process in self.servers.values():
            container.wait_for("liveness")
            assert process.poll() is None, container.log

    def expect_answers(self) -> None:
        for container, _ in self.servers.values():
            wait_until_ready(container)
        gateway, _ = self.servers["gateway"]
        with FeatureClient(gateway.address("grpc"), timeout_s=_TIMEOUT_S, follow_health=False) as client:
            assert client.get_user_features(CANARY).user_known


@pytest.fixture(scope="module")
def bed(built: Mapping[Combination, Manifests], state_dir: Path) -> Iterator[Bed]:
    folder, port, socket_dir = state_dir / "outages", ports.free_port(), state_dir / "outages-socket"
    folder.mkdir()
    database = Postgres(
        postgres.prepare(folder / "postgres", socket_dir), postgres.url(socket_dir, "postgres"), folder / "postgres.log"
    )
    with ExitStack() as stack:
        redis_pid = stack.enter_context(
            running(valkey.prepare(folder / "valkey", port=port), log=folder / "valkey.log")
        )
        valkey.wait_until_ready(valkey.url(port), timeout_s=_TIMEOUT_S)
        stack.callback(database.stack.close)
        database.start()
        node = stack.enter_context(
            node_over(
                built["local", ()],
                folder / "node",
                postgres_socket_dir=socket_dir,
                redis_url=valkey.url(port),
                database="outages",
            )
        )
        node.job("apply", "apply")
        node.job("materialize")
        server = node.container("feature-server")
        gateway = node.where("feature-server-headless:6566", server.address("http")).container("gateway")
        servers = {}
        for name, container in (("feature-server", server), ("gateway", gateway)):
            servers[name] = container, stack.enter_context(container.started())
            wait_until_ready(container)
        yield Bed(servers, database, redis_pid)


def test_without_redis_servers_live_are_not_ready_and_come_back(bed: Bed) -> None:
    with bed.redis_away():
        bed.wait_until_unready()
        bed.expect_living()
    bed.expect_answers()
    bed.expect_living()


def test_without_postgresql_servers_live_are_ready_and_answer(bed: Bed) -> None:
    """Feature servers have the definitions in memory, and read values from Redis alone."""
    with bed.postgres.away():
        bed.expect_living()
        bed.expect_answers()
