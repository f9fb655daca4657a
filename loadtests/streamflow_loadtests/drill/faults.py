"""The faults: what is done to which process, how it is undone, and what calls may then be told."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import psutil

from streamflow_loadtests.servers import Servers

_POLL_S = 0.01
_START_TIMEOUT_S = 60.0
_OUT_OF_TIME = frozenset({"DEADLINE_EXCEEDED"})
_OUTAGE = frozenset({"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"})

Inject = Callable[[Servers, Sequence[str]], AbstractAsyncContextManager[None]]
"""Does the fault to the processes of the feature servers' names, or to the store; undone when the block ends."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault and what is expected."""

    name: str
    inject: Inject

    may_fail_as: frozenset[str] = frozenset()
    """The status codes that calls may end with while it lasts; none when no call may fail."""


@asynccontextmanager
async def _killed(servers: Servers, name: str, *, for_s: float) -> AsyncIterator[None]:
    """Kill a process and all that it started; start it again `for_s` later, and end when it listens."""
    process = servers.process(name)
    for member in [*process.children(recursive=True), process]:
        member.kill()
    await asyncio.sleep(for_s)
    servers.restart(name)
    await _listening(servers.port(name))
    yield


async def _listening(port: int) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_S)
            else:
                writer.close()
                return


@asynccontextmanager
async def _frozen(processes: Sequence[psutil.Process], *, for_s: float) -> AsyncIterator[None]:
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(for_s)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    yield


def _workers(servers: Servers, name: str) -> list[psutil.Process]:
    """Return the processes that answer: gunicorn's master only looks after them."""
    return servers.process(name).children()


FAULTS = (
    Fault(
        name="a feature server killed",
        inject=lambda servers, names: _killed(servers, names[0], for_s=2.0),
    ),
    Fault(
        name="a feature server frozen",
        inject=lambda servers, names: _frozen(_workers(servers, names[0]), for_s=3.0),
        may_fail_as=_OUT_OF_TIME,
    ),
    Fault(
        name="all feature servers frozen",
        inject=lambda servers, names: _frozen(
            [worker for name in names for worker in _workers(servers, name)], for_s=3.0
        ),
        may_fail_as=_OUTAGE,
    ),
    Fault(
        name="Valkey frozen",
        inject=lambda servers, _: _frozen([servers.process("valkey")], for_s=3.0),
        may_fail_as=_OUTAGE,
    ),
    Fault(
        name="Valkey killed",
        inject=lambda servers, _: _killed(servers, "valkey", for_s=2.0),
        may_fail_as=_OUTAGE,
    ),
)
"""The faults, in the order in which they are done."""
