"""A real Redis Cluster of Valkey: three primaries and one replica."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis
from streamflow_local import ports, valkey
from streamflow_local.testing import running, wait_for_port
from streamflow_local.waiting import wait_until
from streamflow_repo.settings.redis_users import REDIS_USERS

_SLOTS = 16_384
_FORMED_TIMEOUT_S = 30
_FAILOVER_AFTER_MS = 1_000
_PRIMARIES = 3


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    ports: tuple[int, ...]
    """The ports of the primaries, then of the replica, which belongs to the first primary."""

    pids: tuple[int, ...]

    @property
    def url(self) -> str:
        return self.url_of("writer")

    def url_of(self, user: str) -> str:
        """Return the URL of a user of REDIS_USERS, whose password is its name."""
        return f"redis-cluster://{user}:{user}@{self.nodes}"

    @property
    def nodes(self) -> str:
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def keys(self) -> list[int]:
        """Return the number of keys of each primary."""
        return [_ask(port, "DBSIZE") for port in self.ports[:_PRIMARIES]]

    def wait_until_formed(self) -> None:
        """Return once every node reports that all slots are served and the replica is in sync."""
        wait_until(self._check, failing=Exception, timeout_s=_FORMED_TIMEOUT_S, complaint=lambda: "no cluster")

    def kill_a_primary(self) -> None:
        """Kill the primary that has a replica; the replica takes over after a second."""
        os.kill(self.pids[0], signal.SIGKILL)

    def role_of_the_replica(self) -> str:
        return str(_ask(self.ports[-1], "INFO", "replication")["role"])

    def _check(self) -> None:
        for port in self.ports:
            info = _ask(port, "CLUSTER INFO")
            known = int(info["cluster_known_nodes"])
            if info["cluster_state"] != "ok" or known != len(self.ports):
                raise AssertionError(info)
        role = _ask(self.ports[-1], "INFO", "replication")
        if role["master_link_status"] != "up":
            raise AssertionError(role)


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster in a block."""
    found = ports.free_ports(2 * (_PRIMARIES + 1))
    # By default a node's second port is 10,000 higher, which may be in use or not exist.
    nodes, buses = found[: _PRIMARIES + 1], found[_PRIMARIES + 1 :]
    with ExitStack() as stack:
        pids = [stack.enter_context(_node(folder, port, bus)) for port, bus in zip(nodes, buses, strict=True)]
        cluster = Cluster(tuple(nodes), tuple(pids))
        first, last = nodes[0], nodes[-1]
        for port, bus in zip(nodes[1:], buses[1:], strict=True):
            _ask(first, "CLUSTER MEET", "127.0.0.1", port, bus)
        bounds = [number * _SLOTS // _PRIMARIES for number in range(_PRIMARIES + 1)]
        for port, start, end in zip(nodes[:_PRIMARIES], bounds, bounds[1:], strict=False):
            _ask(port, "CLUSTER ADDSLOTSRANGE", start, end - 1)
        primary = _ask(first, "CLUSTER MYID")
        wait_until(
            lambda: _ask(last, "CLUSTER REPLICATE", primary),
            failing=redis.RedisError,
            timeout_s=_FORMED_TIMEOUT_S,
            complaint=lambda: "the replica does not know its primary",
        )
        cluster.wait_until_formed()
        yield cluster


@contextmanager
def _node(folder: Path, port: int, bus: int) -> Iterator[int]:
    users = folder / f"{port}.acl"
    valkey.write_users(users, {user: user for user in REDIS_USERS})
    spec = valkey.prepare(folder / str(port), port=port, users=users)
    options = {"enabled": "yes", "port": str(bus), "node-timeout": str(_FAILOVER_AFTER_MS)}
    arguments = (argument for name, value in options.items() for argument in (f"--cluster-{name}", value))
    log = folder / f"{port}.log"
    with running(replace(spec, command=(*spec.command, *arguments)), log=log) as pid:
        wait_for_port(port, log=log)
        yield pid


def _ask(port: int, *command: str | int) -> Any:
    with redis.Redis(port=port, socket_timeout=5) as client:
        return client.execute_command(*command)
