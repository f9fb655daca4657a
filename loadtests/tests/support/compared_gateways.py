"""Gateways in front of a running stack's feature servers, called in turns: calls a second, and CPU of each a call.

The stack's `.local/env` has to be exported.
"""

import asyncio
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from streamflow_loadtests.load.store import user_ids
from streamflow_local import ports

BOUND_S = 60.0
"""How long a call may take, so that a gateway that hangs ends the script."""

BIN = Path(sys.executable).parent
_CALLERS = 64

Call = Callable[[str], Awaitable[object]]
"""Asks for a user."""


@dataclass(frozen=True)
class Arm:
    """A gateway that runs, how it is called, and what each round gave."""

    process: psutil.Popen
    calling: Callable[[], AbstractAsyncContextManager[Call]]
    """Opens the connections of all rounds."""

    rates: list[float] = field(default_factory=list)
    """In calls a second."""

    cpu_us: list[float] = field(default_factory=list)
    """Of the gateway, for a call."""

    async def measure(self, call: Call, users: Iterator[str], *, seconds: float) -> None:
        """Have 64 tasks call for some time without a pause, each call for another user."""
        answered = 0
        started = time.monotonic()
        cpu_s = self._cpu_s()

        async def caller() -> None:
            nonlocal answered
            while time.monotonic() < started + seconds:
                await call(next(users))
                answered += 1

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
        self.rates.append(answered / (time.monotonic() - started))
        self.cpu_us.append((self._cpu_s() - cpu_s) / answered * 1e6)

    def _cpu_s(self) -> float:
        # psutil's times are those of the clock's ticks, of 10 ms.
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def measure_in_turns(arms: Iterable[Arm], users: Sequence[str], *, rounds: int, seconds: float = 2.0) -> None:
    """Measure each arm once a round, in an order of chance, after a first round that does not count."""
    asked = itertools.cycle(random.sample(users, len(users)))
    async with AsyncExitStack() as connections:
        called = [(arm, await connections.enter_async_context(arm.calling())) for arm in arms]
        for number in range(rounds + 1):
            for arm, call in random.sample(called, len(called)):
                await arm.measure(call, asked, seconds=seconds)
                if number == 0:
                    arm.rates.clear()
                    arm.cpu_us.clear()


def stored_users() -> list[str]:
    """Return users that the stack has features of, 20,000 at most."""
    return user_ids(os.environ, join_key="user_id", at_most=20_000)


@contextmanager
def gateway(
    settings: Mapping[str, str], *, command: Path = BIN / "feature-gateway", feature_servers: int = 1
) -> Iterator[tuple[psutil.Popen, int]]:
    """Start a gateway for a block, in front of the stack's first feature servers; gives it and its port of gRPC."""
    port, first = ports.free_port(), int(os.environ["FEATURE_SERVER_PORT"])
    own = {
        "GATEWAY_GRPC_PORT": str(port),
        "GATEWAY_HTTP_PORT": str(ports.free_port()),
        "GATEWAY_FEATURE_SERVER_URLS": ",".join(f"http://127.0.0.1:{first + at}" for at in range(feature_servers)),
        "GATEWAY_CONTRACT_PATH": "feature_repo/contract.json",
        "GATEWAY_DEFAULT_FEATURE_SERVICE": "churn_v1",
        "GATEWAY_CANARY_USER_ID": "3413-BMNZE",
        # The line that is waited for is text.
        "STREAMFLOW_LOG_FORMAT": "text",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = psutil.Popen([command], env={**inherited, **own, **settings}, stderr=subprocess.PIPE, text=True)
    try:
        any(line.rstrip().endswith("ready") for line in process.stderr)
        yield process, port
    finally:
        process.kill()
        process.wait()
