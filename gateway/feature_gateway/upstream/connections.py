"""Kept-alive connections to feature servers, opened as they are needed."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import count
from types import TracebackType
from typing import Self, TypeVar

from feature_gateway.upstream.connection import Connection, ConnectionFailedError, HungUpError
from feature_gateway.upstream.origin import Origin

# Shorter than the 30 s after which `feast serve` closes an idle connection.
_IDLE_CONNECTION_S = 20.0

_T = TypeVar("_T")


class Connections:
    """The connections to all feature servers; belongs to one event loop. The callers bound the requests in flight."""

    def __init__(self, *, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Create it without a connection; `tls` returns what a new connection to an https URL uses.

        Without `tls`, the system's authorities are trusted.
        """
        self._tls = tls or cache(ssl.create_default_context)
        self._idle: dict[Origin, deque[Connection]] = {}
        self._turn = count()
        self._open: set[Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in list(self._open):
            connection.close()

    async def ask(self, origin: Origin, act: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Return what `act` returns of a connection to the origin.

        `act` is called again with a new connection if an idle one was closed just as it was used: a read can be sent
        twice. Raises ConnectionFailedError.
        """
        connection = self._taken(origin)
        if connection is not None:
            try:
                return await self._used(origin, connection, act)
            except HungUpError:
                pass
        return await self._used(origin, await self._opened(origin), act)

    async def _used(self, origin: Origin, connection: Connection, act: Callable[[Connection], Awaitable[_T]]) -> _T:
        try:
            return await act(connection)
        finally:
            if not connection.closed:
                self._idle.setdefault(origin, deque()).append(connection)

    def _taken(self, origin: Origin) -> Connection | None:
        """Return the connection that has been idle for the shortest time; None if there is none."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        oldest_s = asyncio.get_running_loop().time() - _IDLE_CONNECTION_S
        while idle and idle[0].idle_since_s < oldest_s:
            # Closing it takes it out.
            idle.popleft().close()
        return idle.pop() if idle else None

    async def _opened(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()

        def ended(connection: Connection) -> None:
            self._open.discard(connection)
            idle = self._idle.get(origin)
            if idle and connection in idle:
                idle.remove(connection)
            if not idle:
                self._idle.pop(origin, None)

        try:
            addresses = await origin.addresses()
            # Each of several addresses in turn, and the others if it fails.
            first = next(self._turn) % len(addresses)
            failure: OSError | None = None
            for address in (*addresses[first:], *addresses[:first]):
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(ended=ended),
                        address,
                        origin.port,
                        ssl=self._tls() if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
                except OSError as error:
                    failure = error
                else:
                    self._open.add(connection)
                    return connection
        except OSError as error:
            failure = error
        raise ConnectionFailedError(f"can't connect: {failure}") from failure
