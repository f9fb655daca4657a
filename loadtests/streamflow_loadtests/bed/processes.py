"""What is done to processes: killed, frozen, stopped, started again, waited for."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import aiohttp
import psutil

from streamflow_loadtests.bed.servers import Servers

_POLL_S = 0.01
_START_TIMEOUT_S = 60.0


def kill(servers: Servers, name: str) -> None:
    """Kill a process and all that it started."""
    process = servers.process(name)
    for member in [*process.children(recursive=True), process]:
        member.kill()


@asynccontextmanager
async def killed(servers: Servers, name: str, *, for_s: float) -> AsyncIterator[None]:
    """Kill a process and all that it started; start it again `for_s` later, and yield when it listens."""
    # What looks through all processes, or starts one, is kept off the load's event loop.
    await asyncio.to_thread(kill, servers, name)
    await asyncio.sleep(for_s)
    await asyncio.to_thread(servers.restart, name)
    await listening(servers.port(name))
    yield


@asynccontextmanager
async def frozen(processes: Sequence[psutil.Process], *, for_s: float) -> AsyncIterator[None]:
    """Stop processes in their tracks for `for_s`. Gunicorn replaces a worker that is stopped for long."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(for_s)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    yield


async def restarted(servers: Servers, name: str) -> None:
    """End a process as its spec says, and start it again; return before it is ready."""
    await asyncio.to_thread(servers.stop, name)
    await asyncio.to_thread(servers.restart, name)


def workers(servers: Servers, name: str) -> list[psutil.Process]:
    """Return the processes of a feature server that answer: gunicorn's master only looks after them."""
    return servers.process(name).children()


async def listening(port: int) -> None:
    """Return once a loopback port accepts connections; raise TimeoutError."""
    async with _in_time(f"nothing listens on port {port}"):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_S)
            else:
                writer.close()
                return


async def healthy(port: int, path: str = "/health") -> None:
    """Return once a loopback port's HTTP server says that it is well, as a balancer asks; raise TimeoutError."""
    async with _in_time(f"the server on port {port} is not well by {path}"), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    if response.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _in_time(complaint: str) -> AsyncIterator[None]:
    """End what is inside after `_START_TIMEOUT_S`, by a TimeoutError that says what is wrong."""
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"{complaint}, {_START_TIMEOUT_S} s after its start") from error


async def becomes(condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> bool:
    """Return whether a condition is met within `timeout_s`; polled."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
