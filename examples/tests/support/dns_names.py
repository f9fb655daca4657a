"""A name for loopback addresses that change: a DNS server that tells them, and a hosts file that has them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

NAME = "gateways.test"
_HEADER_BYTES = 12
_TYPE_A = 1


class DnsNames(asyncio.DatagramProtocol):
    """What the name stands for now."""

    def __init__(self, hosts: Path) -> None:
        self.hosts = hosts
        self.port = 0
        self._addresses: Sequence[str] = ()
        self._transport: asyncio.DatagramTransport | None = None

    def set(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        written = self.hosts.with_suffix(".new")
        written.write_text("".join(f"{address} {NAME}\n" for address in addresses))
        written.replace(self.hosts)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(_reply(data, self._addresses), addr)


@asynccontextmanager
async def serving_names(folder: Path) -> AsyncIterator[DnsNames]:
    """Serve the name for a block."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        lambda: DnsNames(folder / "hosts"), local_addr=("127.0.0.1", 0)
    )
    try:
        yield names
    finally:
        transport.close()


def _reply(query: bytes, addresses: Sequence[str]) -> bytes:
    """The answer to a query (RFC 1035): addresses if they were asked for, else that there is nothing of that type."""
    name_ends = query.index(0, _HEADER_BYTES) + 1
    question = query[_HEADER_BYTES : name_ends + 4]
    (kind,) = struct.unpack_from(">H", query, name_ends)
    answers = [
        # A pointer to the question's name, then type, class, time to live, length and address.
        struct.pack(">HHHIH4s", 0xC000 | _HEADER_BYTES, kind, 1, 0, 4, socket.inet_aton(address))
        for address in addresses
        if kind == _TYPE_A
    ]
    # An answer, with authority, to a query that wanted recursion.
    header = query[:2] + struct.pack(">HHHHH", 0x8580, 1, len(answers), 0, 0)
    return header + question + b"".join(answers)
