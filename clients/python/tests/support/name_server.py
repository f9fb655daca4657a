"""A DNS server that knows one name, whose addresses a test changes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

NAME = "gateways.test"
_A_RECORD = 1
# A pointer to the question's name; type A, class IN, no time to live, four bytes.
_ANSWER = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04"


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers with the addresses of NAME, whatever name is asked for."""

    addresses: Sequence[str] = ()
    port: int = 0
    questions: int = 0
    _transport: Any = field(default=None, init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.questions += 1
        end = data.index(b"\0", 12) + 5
        kind = int.from_bytes(data[end - 4 : end - 2])
        found = self.addresses if kind == _A_RECORD else ()
        # A response, recursion desired and available, without error; one question.
        header = data[:2] + b"\x81\x80\x00\x01" + len(found).to_bytes(2) + b"\x00\x00\x00\x00"
        records = b"".join(_ANSWER + socket.inet_aton(address) for address in found)
        self._transport.sendto(header + data[12:end] + records, addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    yield server
    transport.close()
