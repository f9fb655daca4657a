"""As much of HTTP/2 as unary gRPC calls need, for a client that costs little beside the servers that it measures."""

import asyncio
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import hpack

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_PADDED_OR_PRIORITY = 0x28
_INITIAL_WINDOW_SIZE, _ENABLE_PUSH, _SETTING_OF_WINDOW = 65_535, 2, 4
_LARGEST_WINDOW = 2**31 - 1
_LARGEST_FRAME = 16_384
_FRAME = struct.Struct(">BHBBI")
_MESSAGE = struct.Struct(">BI")

Headers = Mapping[bytes, bytes]


class ProtocolError(Exception):
    """A server sent what this client does not understand."""


@dataclass(slots=True)
class _Stream:
    reply: asyncio.Future[tuple[Headers, bytes]]
    headers: dict[bytes, bytes] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)


class GrpcConnection(asyncio.Protocol):
    """One connection for any number of calls at once, all of one method and with the same headers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, headers: Iterable[tuple[str, str]]) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        encoder = hpack.Encoder()
        # Once the server has learnt the headers from the first block, they are a few bytes.
        fields = [(name, value) for name, value in headers]
        self._first_block: bytes | None = encoder.encode(fields)
        self._block: bytes = encoder.encode(fields)
        self._decoder = hpack.Decoder()
        self._known: dict[bytes, list[tuple[bytes, bytes]]] = {}
        self._streams: dict[int, _Stream] = {}
        self._next_stream = 1
        self._received = bytearray()
        self._unacknowledged = 0
        self._window = _INITIAL_WINDOW_SIZE
        self._waiting: list[bytes] = []
        self._unsent: list[bytes] = []
        self.usable = False

    async def call(self, message: bytes) -> tuple[Headers, bytes]:
        """Return the reply's headers with its trailers, and its message. Raises OSError or ProtocolError."""
        number = self._next_stream
        content = _frame(_DATA, _END_STREAM, number, _MESSAGE.pack(0, len(message)) + message)
        self._next_stream += 2
        stream = self._streams[number] = _Stream(self._loop.create_future())
        block, self._first_block = self._first_block or self._block, None
        self._write(_frame(_HEADERS, _END_HEADERS, number, block))
        self._send(content)
        try:
            return await stream.reply
        finally:
            self._streams.pop(number, None)

    def close(self) -> None:
        """Close it."""
        self.usable = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take calls from now on."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HIHI", _ENABLE_PUSH, 0, _SETTING_OF_WINDOW, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _INITIAL_WINDOW_SIZE)
        self._write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more))
        self.usable = True

    def data_received(self, data: bytes) -> None:
        """Take what has come, one frame after another."""
        received = self._received
        received += data
        begin = 0
        try:
            while len(received) - begin >= _FRAME.size:
                high, low, kind, flags, number = _FRAME.unpack_from(received, begin)
                end = begin + _FRAME.size + (high << 16 | low)
                if len(received) < end:
                    break
                self._take(kind, flags, number, bytes(received[begin + _FRAME.size : end]))
                begin = end
        except (ProtocolError, hpack.HPACKError) as error:
            self._fail(error)
        del received[:begin]

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls that are on it."""
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in {_DATA, _HEADERS}:
            if flags & _PADDED_OR_PRIORITY or (kind == _HEADERS and not flags & _END_HEADERS):
                raise ProtocolError(f"a frame of kind {kind} with flags {flags:#x}")
            self._take_of_stream(kind, flags, number, payload)
        elif kind == _WINDOW_UPDATE and number == 0:
            self._window += int.from_bytes(payload)
            waiting, self._waiting = self._waiting, []
            for frame in waiting:
                self._send(frame)
        elif kind in {_SETTINGS, _PING} and not flags & _ACK:
            self._write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _RST_STREAM and number in self._streams:
            _give(self._streams[number].reply, ConnectionResetError(f"HTTP/2 error {int.from_bytes(payload)}"))
        elif kind == _GOAWAY:
            self.usable = False
        elif kind == _CONTINUATION:
            raise ProtocolError("headers in more frames than one")

    def _take_of_stream(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        # Even the headers of a call that is over have to be decoded: later ones build on them.
        headers = self._decoded(payload) if kind == _HEADERS else None
        stream = self._streams.get(number)
        if headers is None:
            self._unacknowledged += len(payload)
            if self._unacknowledged > _LARGEST_WINDOW // 2:
                self._write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged)))
                self._unacknowledged = 0
            if stream is not None:
                stream.parts.append(payload)
        elif stream is not None:
            stream.headers.update(headers)
        if flags & _END_STREAM and stream is not None:
            _give(stream.reply, (stream.headers, _message(b"".join(stream.parts))))

    def _decoded(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Return a block's headers. The same bytes mean the same again until a block adds to the table of headers."""
        known = self._known.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table.dynamic_entries
        before = table[0] if table else None
        found = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        if (table[0] if table else None) is before:
            self._known[block] = found
        else:
            self._known.clear()
        return found

    def _send(self, frame: bytes) -> None:
        size = len(frame) - _FRAME.size
        if size > self._window or self._waiting:
            self._waiting.append(frame)
            return
        self._window -= size
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        # What several calls have to say in one turn of the loop goes out in one system call, as in any gRPC client.
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _fail(self, error: Exception) -> None:
        self.close()
        for stream in self._streams.values():
            _give(stream.reply, error)


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    if len(payload) > _LARGEST_FRAME:
        raise ProtocolError(f"{len(payload):,} bytes are more than one frame can have")
    return _FRAME.pack(0, len(payload), kind, flags, number) + payload


def _message(content: bytes) -> bytes:
    if not content:
        return b""
    compressed, size = _MESSAGE.unpack_from(content)
    if compressed or len(content) != _MESSAGE.size + size:
        raise ProtocolError("a reply that is not one plain message")
    return content[_MESSAGE.size :]


def _give(reply: asyncio.Future[tuple[Headers, bytes]], outcome: tuple[Headers, bytes] | Exception) -> None:
    if reply.done():
        return
    if isinstance(outcome, Exception):
        reply.set_exception(outcome)
    else:
        reply.set_result(outcome)
