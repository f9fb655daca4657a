"""Ports that servers of several processes can start on at the same time."""

import socket
import subprocess
import sys

from streamflow_local import ports

_TAKE = "from streamflow_local import ports; print(*ports.free_ports(300), flush=True); input()"


def test_ports_are_free_and_in_a_row() -> None:
    taken = ports.free_ports(5)
    assert taken == list(range(taken[0], taken[0] + 5))
    assert not any(ports.in_use(port) for port in taken)


def test_no_port_is_given_twice() -> None:
    taken = [*ports.free_ports(50), ports.free_port(), ports.free_ports_in_a_row(2)]
    assert len(set(taken)) == len(taken)


def test_no_ports_are_given_to_what_needs_none() -> None:
    assert ports.free_ports(0) == []


def test_a_port_that_something_listens_on_is_not_given() -> None:
    following = ports.free_port() + 1
    with socket.create_server(("127.0.0.1", following)):
        assert ports.in_use(following)
        assert ports.free_port() > following


def test_processes_that_live_at_the_same_time_get_different_ports() -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    try:
        taken = [port for process in processes if process.stdout for port in process.stdout.readline().split()]
    finally:
        for process in processes:
            process.communicate("\n", timeout=30)
    assert len(taken) == len(set(taken)) == 900
