"""Loopback TCP ports."""

import socket
from contextlib import ExitStack

_PORTS = 65536


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return several loopback ports, no two the same, that nothing listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_ports_in_a_row(count: int) -> int:
    """Return the first of several loopback ports, one up each, that nothing listens on now."""
    while True:
        first = free_port()
        if first + count <= _PORTS and not any(in_use(first + above) for above in range(count)):
            return first


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
