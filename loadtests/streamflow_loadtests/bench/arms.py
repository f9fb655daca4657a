"""What is compared: the arms by name, SERVER or SERVER:CLIENT."""

from collections.abc import Iterable

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.bench import clients, servers
from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.clients import CLIENTS
from streamflow_loadtests.bench.servers import Started

NAMES = f"SERVER or SERVER:CLIENT, of the servers {', '.join(servers.NAMES)} and the clients {', '.join(CLIENTS)}"


def exists(name: str) -> bool:
    """Return whether there is an arm of that name."""
    server, _, client = name.partition(":")
    return servers.exists(server) and (not client or client in CLIENTS)


def missing(names: Iterable[str]) -> dict[str, str]:
    """Return the arms that can't be measured here, and why."""
    found = {}
    for name in names:
        server, _, client = name.partition(":")
        why = servers.missing(server) or clients.missing(client)
        if why is not None:
            found[name] = why
    return found


def start(names: Iterable[str], bed: Bed) -> list[Arm]:
    """Start the servers of some arms, and return the arms. Raises ValueError for a client that can't ask a server."""
    started = Started(bed)
    arms = []
    for name in names:
        server_name, _, client_name = name.partition(":")
        server = started.get(server_name)
        client = CLIENTS[client_name or clients.first(server.kind)]
        if server.kind not in client.kinds:
            raise ValueError(f"{name}: {client.what} can't ask {server.kind}")
        what = f"{server.what}; {client.what}"
        arms.append(Arm(name=name, what=what, server=server, client=client, loader=client.loader(server, bed.work)))
    return arms
