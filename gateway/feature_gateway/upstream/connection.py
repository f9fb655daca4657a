"""One kept-alive HTTP/1.1 connection to a feature server, with one request at a time on it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

_MAX_HEADER_BYTES = 64 * 1024
MAX_ANSWER_MIB = 64
"""The largest body of an answer that is taken: several times what the largest read of long lists needs as JSON."""

_MAX_BODY_BYTES = MAX_ANSWER_MIB * 1024 * 1024
_HAVE_LENGTH = {b"content-length", b"transfer-encoding"}


class ConnectionFailedError(Exception):
    """The server could not be reached, hung up, or sent what is not HTTP."""


class AnswerTooLargeError(ConnectionFailedError):
    """The body of the answer is larger than MAX_ANSWER_MIB."""


class HungUpError(ConnectionFailedError):
    """The connection ended before any of an answer had come: the server may have closed it while it was idle."""


@dataclass(frozen=True, slots=True)
class RowsRoute:
    """What a server has said of its route for rows."""

    max_rows: int
    """The most rows of a read; 0 where there is no such route."""

    max_bytes: int
    asked_at_s: float
    """When it was asked, by the event loop's clock."""


class Connection(asyncio.Protocol):
    """A connection; it can be asked again once an answer has come whole, until `closed`."""

    def __init__(self, *, ended: Callable[["Connection"], object]) -> None:
        """Create the protocol of a connection; `ended` is called when the connection is closed, from either side."""
        self.closed = False
        """Whether it can't be asked any more."""

        self.idle_since_s = 0.0
        """When its latest answer had come, by the event loop's clock."""

        self.rows_route: RowsRoute | None = None
        """What the server behind it has said of its route for rows; None while it was not asked."""

        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._received = False
        self._headers_complete = False
        self._has_length = False
        self._header_bytes = 0

    async def request(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Send a request, return status and body of the answer.

        A caller that gives up closes the connection: its answer would be taken for the next one. Raises
        ConnectionFailedError.
        """
        transport = self._transport
        if self.closed or transport is None or transport.is_closing():
            raise HungUpError("the connection was closed")
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._received = self._headers_complete = self._has_length = False
        self._header_bytes = self._body_bytes = 0
        self._body = []
        transport.write(head + body)
        try:
            answer = await self._answer
        except BaseException:
            self.close()
            raise
        self.idle_since_s = loop.time()
        return answer

    def close(self) -> None:
        """Close the connection; without effect the second time."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no subclasses.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self._answer is None or self._answer.done():
            # Nothing was asked.
            self.close()
            return
        self._received = True
        if not self._headers_complete:
            self._header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionFailedError(f"its answer is not HTTP ({type(error).__name__})"))
            self.close()
        else:
            if not self._headers_complete and self._header_bytes > _MAX_HEADER_BYTES:
                self._fail(ConnectionFailedError("its answer has too long a head"))
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way, if its answer does not end with the connection."""
        self.closed = True
        self._ended(self)
        if self._headers_complete and not self._has_length and exc is None:
            self._done()
        elif self._received:
            self._fail(ConnectionFailedError("it hung up in the middle of its answer"))
        else:
            self._fail(HungUpError("it hung up"))

    def on_message_begin(self) -> None:
        """Close the connection if nothing more was asked: no later request must get this answer."""
        if self._answer is None or self._answer.done():
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002  # the parser's interface
        """Note whether the answer says where its body ends."""
        if name.lower() in _HAVE_LENGTH:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """Note that the body follows."""
        self._headers_complete = True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, unless the body becomes too large."""
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > _MAX_BODY_BYTES:
            self._body.clear()
            self._fail(AnswerTooLargeError(f"its answer is larger than {MAX_ANSWER_MIB} MiB"))
            self.close()

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self._parser.get_status_code() < 200:  # noqa: PLR2004  # 100 Continue and the like
            self._headers_complete = self._has_length = False
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._done()

    def _done(self) -> None:
        if self._answer is not None and not self._answer.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._answer.set_result((self._parser.get_status_code(), body))

    def _fail(self, error: ConnectionFailedError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
