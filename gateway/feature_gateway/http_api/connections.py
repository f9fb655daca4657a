"""A bound on the connections of the HTTP port. aiohttp has bounds of its own for header sizes and for waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BoundedRunner(web.AppRunner):
    """An AppRunner whose servers have at most so many connections.

    For one more, the oldest connection without a request under way is closed, so that idle connections keep no probe
    out. If all connections have requests under way, the new one is closed.
    """

    def __init__(self, app: web.Application, *, max_connections: int, **options: Any) -> None:
        """Create a runner of an app; `options` are those of AppRunner."""
        self._max_connections = max_connections
        self._answering: set[Any] = set()
        app.middlewares.insert(0, self._mark_answering())
        super().__init__(app, **options)

    @property
    def server(self) -> Any:
        """What makes a new connection's protocol; None before the setup."""
        server = super().server
        return server and partial(self._protocol, server)

    def _protocol(self, server: web.Server) -> asyncio.Protocol:
        # A closed one is among the connections until the event loop has told it so.
        opened = [connection for connection in server.connections if connection.transport is not None]
        excess = len(opened) - self._max_connections + 1
        idle = [connection for connection in opened if connection not in self._answering][: max(0, excess)]
        for connection in idle:
            connection.force_close()
        return server() if len(idle) >= excess else _Refusal()

    def _mark_answering(self) -> Any:
        answering = self._answering

        @web.middleware
        async def mark(request: web.Request, handler: _Handler) -> web.StreamResponse:
            answering.add(request.protocol)
            try:
                return await handler(request)
            finally:
                answering.discard(request.protocol)

        return mark


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
