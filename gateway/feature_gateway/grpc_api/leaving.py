"""Has clients leave a gRPC server that still answers their calls.

gRPC's server sends GOAWAY only when it stops. From then on it ends calls that arrive as CANCELLED, also those that were
sent before the client had read the GOAWAY (https://github.com/grpc/grpc/issues/24237, .../41785). So this module does
earlier what RFC 9113, section 6.8, asks for: it refuses new connections, and writes a first GOAWAY, which refuses no
call, into the sockets of the server's connections. It finds the sockets in /proc/self/fd, and does nothing on a system
without that folder. The connections must not have TLS of gRPC's own.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_FILES = Path("/proc/self/fd")

# 8 bytes, type GOAWAY, no flags, stream 0; the last stream id is the highest one, the error code NO_ERROR.
_GOAWAY = bytes.fromhex("000008 07 00 00000000 7fffffff 00000000")

# gRPC's threads write what the event loop has given them within this time.
_FLUSH_S = 0.002
_ROUNDS = 20
_POLL_S = 0.01
# Offsets of Linux's struct tcp_info.
_NOT_SENT_BYTES = 144
_DATA_SEGMENTS_OUT = 156
_TCP_INFO_BYTES = 160


def refuse_connections(port: int) -> None:
    """Close the listener of a port of this process: what is accepted stays, and new connections are refused."""
    for file, found in _sockets(port):
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            # gRPC closes the file itself. After a shutdown() it would log an error: a failed accept.
            with socket.socket() as unconnected:
                os.dup2(unconnected.fileno(), file, inheritable=False)


async def ask_to_leave(port: int) -> None:
    """Send GOAWAY on all connections to a port: the client ends its calls there and sends new ones elsewhere.

    A connection whose client does not read, so that its buffers are full for 0.2 s, gets none.
    """
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        if _ask(port, asked):
            return
        await asyncio.sleep(_POLL_S)


async def until_left(port: int, *, timeout_s: float) -> None:
    """Return once no connection to a port of this process is open, or after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    # gRPC tells nobody when a connection ends.
    while any(_connections(port)) and time.monotonic() < deadline_s:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


def _ask(port: int, asked: set[str]) -> bool:
    """Send GOAWAY on connections that are not in `asked`, and add them to it; return whether all have it now.

    A frame may not be put into another. The event loop writes no answer while this function holds it.
    """
    # Blocks on purpose: `asyncio.sleep` would let the event loop write.
    time.sleep(_FLUSH_S)
    everyone = True
    for connection in _connections(port):
        name = str(os.fstat(connection.fileno()).st_ino)
        if name in asked:
            continue
        with suppress(OSError):
            if _between_frames(connection) and connection.send(_GOAWAY, socket.MSG_DONTWAIT) == len(_GOAWAY):
                asked.add(name)
                continue
        everyone = False
    return everyone


def _between_frames(connection: socket.socket) -> bool:
    """Return whether gRPC has written its first frame, and has no frame to finish.

    It has one to finish only when the kernel's buffer was full.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    not_sent: int = struct.unpack_from("I", info, _NOT_SENT_BYTES)[0]
    data_segments: int = struct.unpack_from("I", info, _DATA_SEGMENTS_OUT)[0]
    not_acknowledged: int = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]
    buffer: int = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return data_segments > 0 and not_sent == 0 and 2 * not_acknowledged < buffer


def _connections(port: int) -> Iterator[socket.socket]:
    for _, found in _sockets(port):
        with suppress(OSError):
            found.getpeername()
            yield found


def _sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """Yield this process's TCP sockets on a local port: the file's number, and a duplicate until the next."""
    for file in list(_FILES.iterdir()) if _FILES.is_dir() else ():
        with suppress(OSError):
            if not str(file.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as found:
                if found.family in {socket.AF_INET, socket.AF_INET6} and found.getsockname()[1] == port:
                    yield int(file.name), found
