"""`redis-cluster-form` makes pairs of a primary and a replica, whatever the six nodes are before."""

import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from manifests import OPTIONAL, Combination, Manifests
from streamflow_local import valkey
from streamflow_local.process import ProcessSpec
from streamflow_local.testing import running
from streamflow_local.waiting import wait_until

pytestmark = pytest.mark.slow

_PASSWORD = "pass:word"
_TIMEOUT_S = 120
_CLI = Path(__file__).parent / "support" / "redis_cli.py"


class Nodes:
    """Six Redis nodes, each on a loopback address of its own and on the port that the manifests name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._network = _network()
        self._started: list[ExitStack] = [ExitStack() for _ in range(6)]

    def start(self, number: int) -> None:
        data = self._folder / str(number)
        users = self._folder / "users.acl"
        users.write_text(f"user default off\nuser admin on >{_PASSWORD} ~* &* +@all\n", encoding="utf-8")
        command = list(valkey.prepare(data, port=6379, users=users).command)
        command[command.index("127.0.0.1")] = self.address(number)
        command += ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
        command += ["--cluster-announce-ip", self.address(number)]
        command += ["--masteruser", "admin", "--masterauth", _PASSWORD]
        spec = ProcessSpec(name="valkey", command=tuple(command), port=6379)
        self._started[number].enter_context(running(spec, log=self._folder / f"{number}.log"))
        wait_until(
            lambda: self.ask(number, "PING"), failing=redis.RedisError, timeout_s=_TIMEOUT_S, complaint=lambda: "silent"
        )

    def stop(self, number: int) -> None:
        self._started[number].close()

    def empty(self, number: int) -> None:
        """Replace a node by one without data."""
        self.stop(number)
        shutil.rmtree(self._folder / str(number))
        self.start(number)

    def move(self) -> None:
        """Give each node another address, as Services that are made again do; keep the data."""
        for number in range(6):
            self.stop(number)
        self._network = _network()
        for number in range(6):
            self.start(number)

    def address(self, number: int) -> str:
        return f"{self._network}.{10 + number}"

    def ask(self, number: int, *command: str) -> Any:
        with redis.Redis(self.address(number), username="admin", password=_PASSWORD, socket_timeout=5) as client:
            return client.execute_command(*command)

    def form(self, script: str) -> None:
        """Run the script of the manifests, in which the names of the nodes lead here."""
        programs = self._folder / "bin"
        programs.mkdir(exist_ok=True)
        self._program(programs / "getent", f'echo "{self._network}.$((10 + ${{2##*-}})) $2"')
        self._program(programs / "redis-cli", f'exec {shlex.quote(sys.executable)} {shlex.quote(str(_CLI))} "$@"')
        (self._folder / "redis_admin_password").write_text(_PASSWORD, encoding="utf-8")
        result = subprocess.run(
            ["sh", "-euc", script.replace("/run/secrets/stores", str(self._folder))],
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env={"PATH": f"{programs}:/usr/bin:/bin"},
        )
        assert result.returncode == 0, result.stdout + result.stderr

    def wait_for_pairs(self) -> None:
        """Return once each node is in sync with the node of its pair."""
        wait_until(self._check, failing=Exception, timeout_s=_TIMEOUT_S, complaint=lambda: "other pairs")

    def _check(self) -> None:
        for pair in range(3):
            roles = {number: self.ask(number, "INFO", "replication") for number in (pair, pair + 3)}
            (replica,) = [number for number, info in roles.items() if info["role"] == "slave"]
            assert roles[replica]["master_host"] == self.address(pair + 3 if replica == pair else pair)
            assert roles[replica]["master_link_status"] == "up"

    def _program(self, path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        path.chmod(0o755)


def _network() -> str:
    """Return the first three numbers of loopback addresses."""
    first, second = random.sample(range(1, 255), 2)
    return f"127.{first}.{second}"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    try:
        for number in range(6):
            nodes.start(number)
        yield nodes
    finally:
        for number in range(6):
            nodes.stop(number)


@pytest.fixture
def script(built: dict[Combination, Manifests]) -> str:
    (form,) = built["local", OPTIONAL].workload("redis-cluster-form").pod["initContainers"]
    return str(form["command"][-1])


@pytest.mark.timeout(600)
def test_six_nodes_become_pairs_and_become_the_same_pairs_again(nodes: Nodes, script: str) -> None:
    nodes.form(script)
    nodes.wait_for_pairs()
    slots = nodes.ask(0, "CLUSTER INFO")["cluster_slots_ok"]
    assert slots == "16384"

    # Nothing is left to do, after a failover either.
    nodes.ask(3, "CLUSTER FAILOVER")
    nodes.wait_for_pairs()
    before = [nodes.ask(number, "CLUSTER MYID") for number in range(6)]
    nodes.form(script)
    assert nodes.ask(3, "INFO", "replication")["role"] == "master"

    # A replica that lost its data, and one of another pair.
    nodes.empty(4)
    nodes.ask(5, "CLUSTER REPLICATE", before[3].decode())
    nodes.form(script)
    nodes.wait_for_pairs()


@pytest.mark.timeout(600)
def test_nodes_that_all_have_other_addresses_find_each_other_and_their_data(nodes: Nodes, script: str) -> None:
    """As after a delete of the workload, which keeps the claims, and another apply."""
    nodes.form(script)
    nodes.wait_for_pairs()
    # Of slot 3300, which is node 0's.
    nodes.ask(0, "SET", "b", "here")
    nodes.move()
    nodes.form(script)
    nodes.wait_for_pairs()
    assert nodes.ask(0, "CLUSTER INFO")["cluster_slots_ok"] == "16384"
    assert nodes.ask(0, "GET", "b") == b"here"
