"""A TCP balancer in front of gateways: a new connection goes to one that says it is ready, as in Kubernetes."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import uvloop

_POLL_S = 0.05
_CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Backend:
    """A gateway's ports on the loopback address."""

    grpc_port: int
    http_port: int


@dataclass(frozen=True)
class Balancer:
    """A balancer that accepts connections."""

    port: int

    ready: Collection[Backend]
    """The backends that get new connections, as of the last look."""


@asynccontextmanager
async def balancing(backends: Sequence[Backend], *, port: int = 0) -> AsyncIterator[Balancer]:
    """Accept connections for a block; which backends are ready is asked every 50 ms.

    A backend that refuses a connection is passed over. A connection is closed while no backend is ready.
    """
    ready: set[Backend] = set()

    async def connect(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        chosen = [backend for backend in backends if backend in ready]
        random.shuffle(chosen)
        for backend in chosen:
            try:
                gateway, to_gateway = await asyncio.open_connection("127.0.0.1", backend.grpc_port)
            except OSError:
                continue
            await asyncio.gather(_pass_on(client, to_gateway), _pass_on(gateway, to_client))
            return
        to_client.close()

    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(_follow(backends, ready))
        server = await asyncio.start_server(connect, "127.0.0.1", port)
        try:
            yield Balancer(server.sockets[0].getsockname()[1], ready)
        finally:
            server.close()
            follower.cancel()


async def _follow(backends: Sequence[Backend], ready: set[Backend]) -> None:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=1)) as session:

        async def follow(backend: Backend) -> None:
            while True:
                (ready.add if await _is_ready(session, backend) else ready.discard)(backend)
                await asyncio.sleep(_POLL_S)

        # Each for itself: a backend that starts may be slow to answer.
        await asyncio.gather(*map(follow, backends))


async def _is_ready(session: aiohttp.ClientSession, backend: Backend) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{backend.http_port}/ready") as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _serve(port: int, ports: Sequence[int]) -> None:
    backends = [Backend(*pair) for pair in zip(ports[::2], ports[1::2], strict=True)]
    async with balancing(backends, port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    # The port, and each gateway's ports for gRPC and HTTP.
    uvloop.run(_serve(int(sys.argv[1]), [int(argument) for argument in sys.argv[2:]]))
