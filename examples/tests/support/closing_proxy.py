"""A TCP proxy that closes connections under load, as the kernel does for a process that is killed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ClosingProxy:
    """Passes bytes between callers and a server until it closes their connections."""

    def __init__(self, server: str) -> None:
        self._host, _, port = server.rpartition(":")
        self._port = int(port)
        self._callers: set[asyncio.StreamWriter] = set()
        self._connected = asyncio.Event()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a caller's bytes to the server, and the server's to the caller, until either side has closed."""
        of_server, to_server = await asyncio.open_connection(self._host, self._port)
        self._callers.add(writer)
        self._connected.set()
        directions = [asyncio.create_task(_copy(reader, to_server)), asyncio.create_task(_copy(of_server, writer))]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._callers.discard(writer)
            for direction in directions:
                direction.cancel()
            to_server.transport.abort()
            writer.transport.abort()

    async def close_connections(self) -> None:
        """Close the callers' connections, once there is one."""
        await self._connected.wait()
        self._connected.clear()
        for writer in self._callers:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def closing_proxy(server: str) -> AsyncIterator[tuple[ClosingProxy, str]]:
    """Start a proxy to a server for a block; gives it and its address."""
    proxy = ClosingProxy(server)
    async with await asyncio.start_server(proxy.pass_on, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        yield proxy, f"{host}:{port}"
