"""`python patch_costs.py` prints what a change of the feature server saves, on the data of a running stack.

Source `.local/env` first. A server with all changes, and for each change a server without that one, answer the same
reads in turn. What is compared is CPU time of the server's worker; for the garbage collector, the slowest reads.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import psutil
import psycopg
from streamflow_local import ports, stack
from streamflow_local.testing import running, wait_for_port
from streamflow_local.waiting import wait_until
from streamflow_repo.contract import repo_contract
from streamflow_repo.server import serve
from streamflow_repo.settings.feature_server import Routes

_START_S = 120
_ROUNDS = 15
_CALLERS = 4
_READS = {1: 400, 20: 120}
_CROWD = 64
_READS_OF_A_CROWD = 2560
_WITHOUT = "PATCH_COSTS_WITHOUT"
_NAMES: dict[str, tuple[Any, str, Any]] = {
    "frozen": (serve, "freeze_before_fork", lambda: None),
}
"""Where each change is, and what a server without the change has there."""


@dataclass
class _Server:
    url: str
    worker: psutil.Process

    def cpu_s(self) -> float:
        times = self.worker.cpu_times()
        return float(times.user + times.system)

    async def read(self, bodies: list[dict[str, Any]], callers: int) -> list[float]:
        """Return how long each read took, in seconds."""
        took: list[float] = []
        left = iter(bodies)

        async def caller() -> None:
            for body in left:
                since = time.perf_counter()
                async with session.post(f"{self.url}/get-online-features", json=body) as reply:
                    reply.raise_for_status()
                    await reply.read()
                took.append(time.perf_counter() - since)

        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(caller() for _ in range(callers)))
        return took


def _worker_of(pid: int) -> psutil.Process:
    """Return gunicorn's worker, which is forked after the port was opened."""
    found: list[psutil.Process] = []

    def look() -> None:
        found[:] = psutil.Process(pid).children()
        if not found:
            raise LookupError

    wait_until(look, failing=LookupError, timeout_s=_START_S, complaint=lambda: "gunicorn forked no worker")
    return found[0]


def _bodies(seed: int, users: list[str], per_read: int, reads: int) -> list[dict[str, Any]]:
    features = [
        f"{view['name']}:{each['name']}" for view in repo_contract()["feature_views"] for each in view["features"]
    ]
    drawn = random.Random(seed)  # noqa: S311  # no secret
    return [{"features": features, "entities": {"user_id": drawn.choices(users, k=per_read)}} for _ in range(reads)]


async def _measure(servers: dict[str, _Server], users: list[str]) -> dict[tuple[str, int], list[float]]:
    """Return for each server and kind of read a figure a round: CPU ms a user, or for the crowd the p99 in ms."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number in range(-1, _ROUNDS):  # the first round warms up
        order = list(servers.items())
        random.Random(number).shuffle(order)  # noqa: S311  # no secret
        for name, server in order:
            for per_read, reads in _READS.items():
                before = server.cpu_s()
                await server.read(_bodies(number, users, per_read, reads), _CALLERS)
                found[name, per_read].append((server.cpu_s() - before) / reads / per_read * 1000)
            took = await server.read(_bodies(number, users, 1, _READS_OF_A_CROWD), _CROWD)
            found[name, 0].append(quantiles(took, n=100)[-1] * 1000)
    return {what: figures[1:] for what, figures in found.items()}


def _out(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print(found: dict[tuple[str, int], list[float]]) -> None:
    for per_read in (*_READS, 0):
        unit = f"CPU ms a user, reads of {per_read}" if per_read else f"p99 ms of {_CROWD} callers"
        whole = found["nothing", per_read]
        _out(f"\n{unit}: with all changes {median(whole):.3f}")
        for name in _NAMES:
            saves = [100 * (1 - mine / other) for mine, other in zip(whole, found[name, per_read], strict=True)]
            low, _, high = quantiles(saves, n=4)
            _out(
                f"  without {name:16} {median(found[name, per_read]):8.3f}   the change saves {median(saves):5.1f} % "
                f"(quartiles {low:.1f} to {high:.1f}, range {min(saves):.1f} to {max(saves):.1f})"
            )


def main() -> None:
    """Start the servers and measure them."""
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        users = [row[0] for row in connection.execute("SELECT DISTINCT user_id FROM usage_agg_30d_snapshots")]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as until:
        servers = {}
        for name in ("nothing", *_NAMES):
            port, log = ports.free_port(), Path(folder) / f"{name}.log"
            spec = stack.feature_server(port)
            options = spec.command[spec.command.index("serve") :]
            environment = {**spec.environment, _WITHOUT: name}
            spec = replace(spec, command=(sys.executable, __file__, *options), environment=environment)
            pid = until.enter_context(running(spec, log=log))
            wait_for_port(port, log=log, timeout_s=_START_S)
            servers[name] = _Server(f"http://127.0.0.1:{port}", _worker_of(pid))
        _print(asyncio.run(_measure(servers, users)))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        if (without := os.environ[_WITHOUT]) in _NAMES:
            setattr(*_NAMES[without])
        serve.serve(Routes.READS)
