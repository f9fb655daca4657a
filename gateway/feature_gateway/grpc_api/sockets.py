"""Finds the TCP sockets of a port of this process, which gRPC's servers keep to themselves.

It finds them in /proc/self/fd, and finds none on a system without that folder.
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

_FILES = Path("/proc/self/fd")


def files() -> list[int]:
    """Return the numbers of this process's files; some may be closed by now."""
    # `Path.iterdir` takes twice the time, and there can be a thousand.
    return [int(name) for name in os.listdir(_FILES)] if _FILES.is_dir() else []  # noqa: PTH208


def identity_of(file: int) -> tuple[int, int] | None:
    """Return what no other open file has; None for a file that is closed."""
    try:
        status = os.fstat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connection_of(file: int, port: int) -> socket.socket | None:
    """Return a duplicate of a file that is a connection to a local port, which the caller closes; None for others."""
    found = _socket_of(file, port)
    if found is None:
        return None
    try:
        found.getpeername()
    except OSError:
        found.close()
        return None
    return found


def listeners_of(port: int) -> Iterator[int]:
    """Yield the files of the sockets that listen on a local port."""
    for file in files():
        found = _socket_of(file, port)
        if found is not None:
            with found:
                listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens:
                yield file


def connections_to(port: int) -> Iterator[socket.socket]:
    """Yield duplicates of the connections to a local port, each until the next."""
    for file in files():
        found = connection_of(file, port)
        if found is not None:
            with found:
                yield found


def _socket_of(file: int, port: int) -> socket.socket | None:
    """Return a duplicate of a file that is a TCP socket on a local port; None for others."""
    try:
        duplicate = os.dup(file)
    except OSError:
        return None
    try:
        found = socket.socket(fileno=duplicate)
    except OSError:
        # No socket.
        os.close(duplicate)
        return None
    if found.family in {socket.AF_INET, socket.AF_INET6} and found.getsockname()[1] == port:
        return found
    found.close()
    return None
