"""Has clients leave a gRPC server that still answers their calls.

gRPC's server sends GOAWAY only when it stops. From then on it ends calls that arrive as CANCELLED, also those that were
sent before the client had read the GOAWAY (https://github.com/grpc/grpc/issues/24237, .../41785). So this module does
earlier what RFC 9113, section 6.8, asks for: it refuses new connections, and writes a first GOAWAY, which refuses no
call, into the sockets of the server's connections. It does nothing on a system where they can't be found. The
connections must not have TLS of gRPC's own.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from feature_gateway.grpc_api.sockets import connections_to, identity_of, listeners_of

# 8 bytes, type GOAWAY, no flags, stream 0; the last stream id is the highest one, the error code NO_ERROR.
_GOAWAY = bytes.fromhex("000008 07 00 00000000 7fffffff 00000000")

# gRPC's threads write what the event loop has given them within this time.
_FLUSH_S = 0.002
_ROUNDS = 20
_QUIET_LOOKS = 20
_POLL_S = 0.01
# Offsets of Linux's struct tcp_info.
_NOT_SENT_BYTES = 144
_DATA_SEGMENTS_OUT = 156
_TCP_INFO_BYTES = 160


def refuse_connections(port: int) -> None:
    """Close the listener of a port of this process: what is accepted stays, and new connections are refused."""
    for file in listeners_of(port):
        # gRPC closes the file itself. After a shutdown() it would log an error: a failed accept.
        with socket.socket() as unconnected:
            os.dup2(unconnected.fileno(), file, inheritable=False)


async def ask_to_leave(port: int) -> None:
    """Send GOAWAY on all connections to a port: the client ends its calls there and sends new ones elsewhere.

    A connection whose client does not read, so that its buffers are full for 0.2 s, gets none.
    """
    asked: set[object] = set()
    for _ in range(_ROUNDS):
        if send_goaway(connections_to(port), asked):
            return
        await asyncio.sleep(_POLL_S)


async def until_left(port: int, *, timeout_s: float) -> None:
    """Return once no connection to a port of this process is open, or after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    # gRPC tells nobody when a connection ends.
    while any(connections_to(port)) and time.monotonic() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


async def until_quiet(port: int, *, busy: Callable[[], bool], timeout_s: float) -> None:
    """Return once no call is being answered, and all answers have been sent, or after `timeout_s`.

    Nobody tells when an answer has been sent. So nothing must have been sent on any connection for 20 looks in a row. A
    machine that is slow to send is slow to look too.
    """
    deadline_s = time.monotonic() + timeout_s
    looks, before = 0, [_Sent(0, 0, 0)]
    while looks < _QUIET_LOOKS and time.monotonic() < deadline_s:
        sent = [_sent(connection) for connection in connections_to(port)]
        quiet = not busy() and sent == before and not any(each.not_acknowledged for each in sent)
        looks, before = looks + 1 if quiet else 0, sent
        if not sent:
            return
        await asyncio.sleep(_POLL_S)


def send_goaway(connections: Iterable[socket.socket], asked: set[object]) -> bool:
    """Send GOAWAY on connections whose identity is not in `asked`, and add them to it; return whether all have it now.

    A frame may not be put into another. The event loop writes no answer while this function holds it.
    """
    # Blocks on purpose: `asyncio.sleep` would let the event loop write.
    time.sleep(_FLUSH_S)
    everyone = True
    for connection in connections:
        identity = identity_of(connection.fileno())
        if identity in asked:
            continue
        with suppress(OSError):
            if _between_frames(connection) and connection.send(_GOAWAY, socket.MSG_DONTWAIT) == len(_GOAWAY):
                asked.add(identity)
                continue
        everyone = False
    return everyone


def _between_frames(connection: socket.socket) -> bool:
    """Return whether gRPC has written its first frame, and has no frame to finish.

    It has one to finish only when the kernel's buffer was full.
    """
    sent = _sent(connection)
    buffer: int = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return sent.data_segments > 0 and sent.not_sent == 0 and 2 * sent.not_acknowledged < buffer


class _Sent(NamedTuple):
    """What a connection has sent."""

    data_segments: int

    not_acknowledged: int
    """The bytes that the client has not acknowledged."""

    not_sent: int
    """Of these, the bytes that are still in the kernel's buffer."""


def _sent(connection: socket.socket) -> _Sent:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    return _Sent(
        data_segments=struct.unpack_from("I", info, _DATA_SEGMENTS_OUT)[0],
        not_acknowledged=struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0],
        not_sent=struct.unpack_from("I", info, _NOT_SENT_BYTES)[0],
    )
