"""What answers an attacker in a container on each network of docker-compose.yml, and on the host."""

import json
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psutil
from attack import Target, accepted
from compose_file import document, is_job, services
from compose_networks import answering, listens, on_loopback
from composed import Composed

_ATTACK = Path(__file__).with_name("attack.py")
_PUBLISHED_ON = "127.0.0.1"
_LOOPBACKS = (_PUBLISHED_ON, "::1")
# As /proc/net writes them: the state of a socket, and loopback of IPv4, of IPv6 and of IPv4 in IPv6.
_LISTENING = "0A"
_OWN = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


@dataclass(frozen=True)
class _Owner:
    """Whose an address is."""

    service: str
    network: str

    def seen_from(self, network: str) -> str:
        """Return nothing on the address's own network, and otherwise that it is another's."""
        return "" if network == self.network else f" on {self.network}"


def check_listening(composed: Composed) -> None:
    """Check that each service listens on the ports that the table knows, and on no others."""
    for service in _servers():
        found = _listening(composed, service)
        composed.trial.check(f"{service} listens on its ports alone", holds=found == listens(service), saw=found)


def check_networks(composed: Composed) -> None:
    """Check what an attacker on each network reaches, row by row: by the services' names, by addresses, on the host."""
    names, ports, owners = services(), _ports(), _owners(composed)
    elsewhere = [address for address in _host_addresses() if address not in _LOOPBACKS]
    with socket.create_server(("", 0)) as unguarded:
        unguarded_port = unguarded.getsockname()[1]
        targets = [
            *product(names, ports),
            *product(owners, ports),
            *product(elsewhere, (*composed.ports, unguarded_port)),
        ]
        for network, options in document()["networks"].items():
            found = _from_network(composed, network, targets)
            by_name = {f"{host}:{port}" for host, port in found if host in names}
            by_address = {
                f"{owners[host].service}:{port}{owners[host].seen_from(network)}"
                for host, port in found
                if host in owners
            }
            published = {f"{host}:{port}" for host, port in found if host in elsewhere and port != unguarded_port}
            _check_row(composed, f"{network}, by name", by_name, answering(network))
            _check_row(composed, f"{network}, by any address", by_address, answering(network))
            _check_row(composed, f"{network}, to ports that the host publishes", published, set())
            if options.get("internal"):
                # The host's address on the network's own bridge is inside.
                outside = {host for host, port in found if port == unguarded_port} - {composed.gateway_of(network)}
                _check_row(composed, f"{network}, to an open port of the host's other addresses", outside, set())


def check_host(composed: Composed) -> None:
    """Check what answers a process of the host: on the host's addresses, and on the containers' addresses."""
    published = composed.published()
    found = accepted(list(product(_host_addresses(), published)))
    loopback = {published[port] for host, port in found if host == _PUBLISHED_ON}
    elsewhere = {f"{host}:{port}" for host, port in found if host != _PUBLISHED_ON}
    _check_row(composed, "the host's loopback", loopback, set(on_loopback().values()))
    _check_row(composed, "the host's other addresses", elsewhere, set())
    owners = _owners(composed)
    direct = {f"{owners[host].service}:{port}" for host, port in accepted(list(product(owners, _ports())))}
    everything = {f"{service}:{port}" for service in _servers() for port in listens(service)}
    _check_row(composed, "the host, to containers' addresses", direct, everything)


def _check_row(composed: Composed, attacker: str, found: Collection[str], expected: Collection[str]) -> None:
    """Print a row of the table of what answers, and whether it is what is expected."""
    wanted = "" if found == expected else f"expected: {_cell(expected)}"
    composed.trial.check(f"| {attacker} | {_cell(found)} |", holds=not wanted, saw=wanted)


def _cell(answers: Collection[str]) -> str:
    return ", ".join(sorted(answers)) or "nothing"


def _from_network(composed: Composed, network: str, targets: Collection[Target]) -> list[Target]:
    """Return the targets that accept a connection of a container that is on one network alone."""
    printed = composed.trial.podman(
        *("run", "--rm", "--network", composed.network(network), "--cap-drop=ALL", "--read-only"),
        *("--entrypoint", "python", services()["gateway"]["image"]),
        *("-c", _ATTACK.read_text(encoding="utf-8"), json.dumps(list(targets))),
    )
    return [(host, port) for host, port in json.loads(printed)]


def _servers() -> list[str]:
    return [name for name, service in services().items() if not is_job(service)]


def _ports() -> set[int]:
    return {port for service in services() for port in listens(service)}


def _owners(composed: Composed) -> Mapping[str, _Owner]:
    """Return whose each address is."""
    return {
        address: _Owner(service, network)
        for service in _servers()
        for network, address in composed.addresses(service).items()
    }


def _host_addresses() -> list[str]:
    families = (socket.AF_INET, socket.AF_INET6)
    found = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return [address.address for address in found if address.family in families and "%" not in address.address]


def _listening(composed: Composed, service: str) -> set[int]:
    """Return the TCP ports on which a container listens, but not on its loopback alone."""
    table = composed.trial.inside(composed.container(service), "sh", "-c", "cat /proc/net/tcp*")
    rows = [line.split() for line in table.splitlines()]
    sockets = [row[1].split(":") for row in rows if row[3] == _LISTENING]
    return {int(port, 16) for address, port in sockets if address not in _OWN}
