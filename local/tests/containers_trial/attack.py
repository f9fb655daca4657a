"""`attack.py TARGETS`: try TCP connections, and print those that are accepted. Both are lists of [host, port] in JSON.

Attackers' containers run it, and have nothing but the standard library.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

Target = tuple[str, int]

# The kernel accepts a connection, however busy the process is. Three times in 5 s it is asked to.
_TIMEOUT_S = 5


def accepted(targets: Sequence[Target]) -> list[Target]:
    """Return the targets that accept a connection, on any address of their name."""
    addresses = _resolve({host for host, _ in targets})
    tries = [(target, address) for target in targets for address in addresses[target[0]]]
    found = asyncio.run(_accept([(address, target[1]) for target, address in tries]))
    return sorted({target for (target, _), holds in zip(tries, found, strict=True) if holds})


def _resolve(hosts: Iterable[str]) -> dict[str, set[str]]:
    # Each host in a thread of its own: a name that a resolver is silent about takes its time.
    hosts = list(hosts)
    with ThreadPoolExecutor(max(1, len(hosts))) as threads:
        return dict(zip(hosts, threads.map(_addresses, hosts), strict=True))


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except socket.gaierror:
        return set()


async def _accept(targets: Iterable[Target]) -> list[bool]:
    return await asyncio.gather(*(_accepts(address, port) for address, port in targets))


async def _accepts(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(accepted([(host, port) for host, port in json.loads(sys.argv[1])])))
