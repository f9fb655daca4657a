"""Feature servers whose reads a test ends one by one, and which look at what they are asked."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError, RejectedUpstreamError
from feature_gateway.upstream.feature_server import FeatureServer
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import Row
from row_fakes import row_of_text

MAX_READ_ROWS = 4
BAD_NAME = "bad"
"""Whose reads are rejected."""


@dataclass(eq=False)
class Read:
    """A read under way on a server, ended by a rule or by its time."""

    server: "Server"
    names: list[str]
    answer: "asyncio.Future[None]"


@dataclass(eq=False)
class Server(FeatureServer):
    """A server that answers when a rule says so."""

    url: str
    pool: Callable[[], ReplicaPool]
    """What it is in, which is made with it."""

    live: list[Read] = field(default_factory=list)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Row]:
        # A slot is free when its server is: each read under way has one.
        for replica in self.pool()._replicas:
            assert replica.server is not self or len(self.live) < replica.slots_taken
        assert len(keys) <= MAX_READ_ROWS
        assert len(set(keys)) == len(keys)
        names = [str(name) for (name,) in keys]
        read = Read(self, names, asyncio.get_running_loop().create_future())
        self.live.append(read)
        try:
            async with asyncio.timeout(timeout_s):
                await read.answer
        except TimeoutError as error:
            raise DeadlineExceededError("late") from error
        finally:
            self.live.remove(read)
        if BAD_NAME in names:
            raise RejectedUpstreamError("bad")
        return [row_for(name, feature_set, authorization) for name in names]

    async def alive(self, *, timeout_s: float) -> bool:
        del timeout_s
        return True


def row_for(name: str, feature_set: FeatureSet, authorization: str) -> Row:
    return row_of_text(f"{name}/{feature_set.features[0].name}/{authorization}")
