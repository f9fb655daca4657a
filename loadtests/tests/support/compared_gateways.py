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
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from streamflow_local import ports

BOUND_S = 60.0
"""How long a call may take, so that a gateway that hangs ends the script."""

BIN = Path(sys.executable).parent
_CALLERS, _SECONDS, _WARM_UP_S = 64, 2.0, 0.5

Call = Callable[[str], Awaitable[object]]
"""Asks for a user."""


@dataclass(frozen=True)
class Arm:
    """A gateway that runs, how it is called, and what each round gave."""

    process: psutil.Popen
    calling: Callable[[], AbstractAsyncContextManager[Call]]
    """Opens the connections of a round."""

    rates: list[float] = field(default_factory=list)
    """In calls a second."""

    cpu_us: list[float] = field(default_factory=list)
    """Of the gateway, for a call."""

    async def measure(self, users: Sequence[str]) -> None:
        """Have 64 tasks call for some seconds without a pause, each call for another user."""
        answered = 0
        asked = itertools.cycle(random.sample(users, len(users)))
        async with self.calling() as call:
            await call(users[0])
            started = time.monotonic() + _WARM_UP_S

            async def caller() -> None:
                nonlocal answered
                while (now := time.monotonic()) < started + _SECONDS:
                    await call(next(asked))
                    answered += now >= started

            calls = asyncio.gather(*(caller() for _ in range(_CALLERS)))
            await asyncio.sleep(_WARM_UP_S)
            before = self._cpu_s()
            await calls
        self.rates.append(answered / _SECONDS)
        self.cpu_us.append((self._cpu_s() - before) / answered * 1e6)

    def _cpu_s(self) -> float:
        spent = self.process.cpu_times()
        return spent.user + spent.system


async def measure_in_turns(arms: Iterable[Arm], users: Sequence[str], *, rounds: int) -> None:
    """Measure each arm once a round, in an order of chance."""
    found = [*arms]
    for _ in range(rounds):
        for arm in random.sample(found, len(found)):
            await arm.measure(users)


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
