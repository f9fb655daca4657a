"""How `feast serve` is asked: over kept connections, requests written at once, replies parsed in C."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import httptools
import orjson
from streamflow_repo import JOIN_KEY

from streamflow_loadtests.callers.channels import CallError
from streamflow_loadtests.callers.replies import Reply, Request, feast_replies

# Each of many kept connections may turn out to be closed when a server has replaced its worker.
_MAX_SENDS = 10
_HTTP_OK = 200


class HttpCaller:
    """Calls of `feast serve` on a loopback port; `selection` is the request's JSON without the users."""

    def __init__(self, port: int, selection: Mapping[str, object]) -> None:
        self.resends = 0
        self._port = port
        self._selection = selection
        # As many connections as there are calls at once; the one used last is used next.
        self._idle: list[_Connection] = []

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for some users, head and all."""
        content = orjson.dumps({**self._selection, "entities": {JOIN_KEY: user_ids}})
        head = (
            "POST /get-online-features HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self._port}\r\n"
            "Accept: application/json\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return Request(user_ids=tuple(user_ids), body=head.encode() + content)

    async def send(self, request: Request) -> bytes:
        """Return the reply's JSON. A request whose connection the server closed is sent anew, as any client would."""
        for _ in range(_MAX_SENDS):
            try:
                connection = await self._connection()
                status, content = await connection.exchange(request.body)
            except OSError:
                self.resends += 1
                continue
            self._idle.append(connection)
            if status != _HTTP_OK:
                raise CallError(f"HTTP {status}: {content[:200].decode(errors='replace')}")
            return content
        raise CallError(f"the connection was closed {_MAX_SENDS} times")

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what Feast's columns of JSON say."""
        try:
            found = orjson.loads(reply)
            names = found["metadata"]["feature_names"]
            columns = [result["values"] for result in found["results"]]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise CallError(f"the reply is none of Feast's: {reply[:200].decode(errors='replace')}") from error
        return feast_replies(request, names, columns)

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
        """Return a reply's status and content. Raises OSError when it has not begun as the connection ends."""
        self._reply = self._loop.create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        """Close it."""
        self.usable = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take requests from now on."""
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(CallError(f"the reply is no HTTP: {error}"))

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
        """Fail the call that is on it."""
        self.usable = False
        if self._begun:
            self._fail(CallError("the connection was closed in the midst of a reply"))
        else:
            self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed by the server"))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)
