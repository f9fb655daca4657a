"""Bounds on the connections of a port. aiohttp has bounds of its own for header sizes and for waiting."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from feature_gateway.errors import INTERNAL_MESSAGE
from feature_gateway.http_api.answers import problem

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BoundedRunner(web.AppRunner):
    """An AppRunner whose servers have at most so many connections.

    For one more, the oldest connection without a request under way is closed, so that idle connections keep no probe
    out. If all connections have requests under way, the new one is closed. A connection whose first request is older
    than the maximum age ends with its next answer, and so does each connection once the server is `leaving`.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        max_connections: int,
        max_age_s: float,
        leaving: Callable[[], bool],
        **options: Any,
    ) -> None:
        """Create a runner of an app; `max_age_s` is 0 for any age, and `options` are those of AppRunner."""
        self._max_connections = max_connections
        self._max_age_s = max_age_s
        self._leaving = leaving
        self._first_request_s: dict[Any, float] = {}
        self._answering: set[Any] = set()
        app.middlewares.insert(0, self._mark_answering())
        super().__init__(app, **options)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        server = super().server
        return 0 if server is None else len(_open(server))

    @property
    def server(self) -> Any:
        """What makes a new connection's protocol; None before the setup."""
        server = super().server
        return server and partial(self._protocol, server)

    def _protocol(self, server: web.Server) -> asyncio.Protocol:
        opened = _open(server)
        excess = len(opened) - self._max_connections + 1
        idle = [connection for connection in opened if connection not in self._answering][: max(0, excess)]
        for connection in idle:
            connection.force_close()
        if len(idle) < excess:
            return _Refusal()
        self._first_request_s = {each: at_s for each, at_s in self._first_request_s.items() if each in opened}
        # As the server's own call does: aiohttp has no way to say which class a server's connections are of.
        return _Connection(server, loop=asyncio.get_running_loop(), **server._kwargs)  # noqa: SLF001

    def _mark_answering(self) -> Any:
        answering = self._answering

        @web.middleware
        async def mark(request: web.Request, handler: _Handler) -> web.StreamResponse:
            now_s = asyncio.get_running_loop().time()
            first_s = self._first_request_s.setdefault(request.protocol, now_s)
            answering.add(request.protocol)
            try:
                response = await handler(request)
            finally:
                answering.discard(request.protocol)
            if self._leaving() or (self._max_age_s and now_s - first_s >= self._max_age_s):
                response.force_close()
            return response

        return mark


def _open(server: web.Server) -> list[Any]:
    # A closed one is among the connections until the event loop has told it so.
    return [connection for connection in server.connections if connection.transport is not None]


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer as the application does: aiohttp's own text quotes the request."""
        super().handle_error(request, status, exc, message)
        own_fault = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        answer = problem(
            HTTPStatus(status),
            INTERNAL_MESSAGE if own_fault else "The request's head is malformed, or too large.",
        )
        answer.force_close()
        return answer


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
