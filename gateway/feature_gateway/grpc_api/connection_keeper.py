"""Keeps connections within their limits, for a gRPC server that has no limits of its own."""

import asyncio
import itertools
import random
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from feature_gateway.grpc_api.connection_limits import ConnectionLimits
from feature_gateway.grpc_api.leaving import send_goaway
from feature_gateway.grpc_api.sockets import connection_of, files, identity_of

_LOOK_S = 0.5
# The ages of connections that were opened together differ, so that their clients do not return together.
_AGE_SPREAD = 0.1

_Identity = tuple[int, int]


@dataclass
class _Connection:
    """A connection, by its file and its identity."""

    file: int
    identity: _Identity
    number: int
    """Higher for a connection that was seen later."""
    leave_s: float
    """When its client is asked to leave."""


class ConnectionKeeper:
    """Closes connections beyond the most that there may be, the youngest first, and has the clients of old ones leave.

    It looks every 0.5 s, so more connections can be open for that long. A connection whose client does not leave within
    the grace is closed. Without /proc it does nothing.
    """

    def __init__(self, port: int, limits: ConnectionLimits) -> None:
        """Create the keeper of a port of this process."""
        self._port = port
        self._limits = limits
        self._seen: dict[tuple[int, _Identity], _Connection | None] = {}
        """The open files. The value is None for a file that is not a connection to the port."""
        self._asked: set[object] = set()
        self._numbers = itertools.count()

    async def keep(self) -> None:
        """Look again and again until cancelled."""
        age_s = self._limits.max_age_s
        every_s = min(_LOOK_S, age_s / 2) if age_s else _LOOK_S
        while True:
            await asyncio.sleep(every_s)
            self._look(time.monotonic())

    def _look(self, now_s: float) -> None:
        connections = sorted(self._connections(now_s), key=lambda connection: connection.number)
        for connection in connections[self._limits.max_connections :]:
            self._close(connection)
        if not self._limits.max_age_s:
            return
        self._asked &= {connection.identity for connection in connections}
        old = [each for each in connections if each.leave_s <= now_s]
        if any(each.identity not in self._asked for each in old):
            send_goaway(self._duplicates(old), self._asked)
        for connection in old:
            if connection.leave_s + self._limits.age_grace_s <= now_s:
                self._close(connection)

    def _connections(self, now_s: float) -> Iterator[_Connection]:
        """Yield the connections that are open. What a file is, is asked once: there can be a thousand."""
        seen, self._seen = self._seen, {}
        # Of connections that are new, the one with the higher file is the younger one, unless its file was used before.
        # The numbers of sockets say nothing: each processor counts its own.
        for file in sorted(files()):
            identity = identity_of(file)
            if identity is None:
                continue
            key = (file, identity)
            found = seen[key] if key in seen else self._new(file, identity, now_s)
            self._seen[key] = found
            if found is not None:
                yield found

    def _new(self, file: int, identity: _Identity, now_s: float) -> _Connection | None:
        connection = connection_of(file, self._port)
        if connection is None:
            return None
        connection.close()
        spread = random.uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)  # noqa: S311  # no secret
        return _Connection(file, identity, next(self._numbers), now_s + spread * self._limits.max_age_s)

    def _duplicates(self, connections: Iterable[_Connection]) -> Iterator[socket.socket]:
        for each in connections:
            duplicate = connection_of(each.file, self._port)
            if duplicate is not None:
                with duplicate:
                    if identity_of(duplicate.fileno()) == each.identity:
                        yield duplicate

    def _close(self, connection: _Connection) -> None:
        for duplicate in self._duplicates([connection]):
            with suppress(OSError):
                duplicate.shutdown(socket.SHUT_RDWR)
