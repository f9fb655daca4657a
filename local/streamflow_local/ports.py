"""Loopback TCP ports: which are free, and which process uses one."""

import fcntl
import os
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

# Below the ports that Linux and macOS give to outgoing connections.
_FIRST, _COUNT = 20_000, 10_000


def free_port() -> int:
    """Return a loopback port that no process listens on, and reserve the port for this process.

    The reservation lasts until this process ends. Without it, two processes that start servers at the same time could
    get the same port, because a server listens only some time after its port was chosen.
    """
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return consecutive loopback ports, each reserved as by `free_port`."""
    return _reservations().take(count) if count else []


def free_ports_in_a_row(count: int) -> int:
    """Return the first of `count` consecutive loopback ports, each reserved as by `free_port`."""
    return free_ports(count)[0]


def in_use(port: int) -> bool:
    """Return whether a server can't listen on a loopback port."""
    with socket.socket() as probe:
        # Servers set it too: connections of a server that has just ended then don't block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def describe_listener(port: int) -> str:
    """Return " by NAME (pid N)" for the process that listens on a port, or "" if that process can't be found."""
    # macOS shows the connections of all processes at once only to root, so each process is asked for its own.
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if (connection.status, connection.laddr[1:2]) == (psutil.CONN_LISTEN, (port,)):
                    return f" by {process.name()} (pid {process.pid})"
    return ""


class _Reservations:
    """The ports reserved for this process: for each it locks the byte with the port's number in a file of the user."""

    def __init__(self) -> None:
        path = Path(tempfile.gettempdir()) / f"streamflow-ports-{os.getuid()}"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        # Processes that start at the same time begin at different ports.
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
