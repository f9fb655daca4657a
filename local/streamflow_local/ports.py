"""Loopback TCP ports."""

import fcntl
import os
import socket
import tempfile
from functools import cache
from pathlib import Path

# Below the ports that Linux and macOS give to outgoing connections.
_FIRST, _COUNT = 20_000, 10_000


def free_port() -> int:
    """Return a loopback port that nothing listens on, and that this function gives to no other process meanwhile.

    The port is reserved for as long as this process lives, so that processes that start servers beside each other never
    get the same port between the choice of a port and the start of the server.
    """
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return several loopback ports in a row, each reserved as by `free_port`."""
    return _reservations().take(count)


def free_ports_in_a_row(count: int) -> int:
    """Return the first of several loopback ports, one up each, each reserved as by `free_port`."""
    return free_ports(count)[0]


def in_use(port: int) -> bool:
    """Return whether a loopback port can't be listened on."""
    with socket.socket() as probe:
        # As servers do, so that connections of a server that has just ended don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


class _Reservations:
    """The ports that this process has been given: it holds a lock on the byte of that number in a file of the user."""

    def __init__(self) -> None:
        path = Path(tempfile.gettempdir()) / f"streamflow-ports-{os.getuid()}"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        # Processes that start together begin apart, and rarely meet.
        self._next = os.getpid() * 97 % _COUNT

    def take(self, count: int) -> list[int]:
        while True:
            row = [_FIRST + (self._next + above) % _COUNT for above in range(count)]
            self._next = (self._next + 1) % _COUNT
            if row[-1] == row[0] + count - 1 and all(self._reserve(port) for port in row):
                self._next = row[-1] + 1 - _FIRST
                return row

    def _reserve(self, port: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return not in_use(port)


@cache
def _reservations() -> _Reservations:
    return _Reservations()
