"""HTTP/1.1 over kept connections: requests written at once, replies parsed in C."""

import asyncio
from typing import cast

import httptools

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Request
from streamflow_loadtests.callers.errors import CallError

# Each of many kept connections may turn out to be closed when a server has replaced its worker.
_MAX_SENDS = 10
_HTTP_OK = 200
_HEAD = (
    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


class HttpConnections:
    """POSTs to a loopback port, on as many connections as there are calls at once."""

    def __init__(self, port: int) -> None:
        self.resends = 0
        self._port = port
        # The connection used last is used next.
        self._idle: list[_Connection] = []

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:  # noqa: ARG002
        """Return the reply's content. A request whose connection the server closed is sent again, as any client would.

        HTTP knows no deadline; the caller has to keep the deadline itself. Raises CallError.
        """
        message = (_HEAD % (request.path, len(request.body))).encode() + request.body
        for _ in range(_MAX_SENDS):
            try:
                connection = await self._connection()
                status, content = await connection.exchange(message)
            except OSError:
                self.resends += 1
                continue
            self._idle.append(connection)
            if status != _HTTP_OK:
                raise CallError(f"HTTP {status}", content[:200].decode(errors="replace"))
            return content
        raise CallError(f"the connection was closed {_MAX_SENDS} times")

    async def close(self) -> None:
        """Close the connections that no call is on."""
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(loop), "127.0.0.1", self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one request on it at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None
        self._parts: list[bytes] = []
        self._begun = False
        self.usable = False

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Return a reply's status and content. Raises OSError when the connection ends before the reply begins."""
        self._reply = self._loop.create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """Close the connection."""
        self.usable = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept requests from now on."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(CallError("malformed reply", f"not HTTP: {error}"))

    def on_body(self, body: bytes) -> None:
        """Keep a part of the content."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Give the reply to its call."""
        content = b"".join(self._parts)
        self._parts.clear()
        self._begun = False
        if not self._parser.should_keep_alive():
            self.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((self._parser.get_status_code(), content))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the call that waits for its reply."""
        self.usable = False
        if self._begun:
            self._fail(CallError("the connection was closed in the middle of a reply"))
        else:
            self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed by the server"))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
