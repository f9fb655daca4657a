"""Calls that wait, and the reads that answer several of them; times are the event loop's, in seconds."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import WrongValueError
from feature_gateway.reads import ReadReport, RowsRead, Served, Slot


class Group(NamedTuple):
    """The calls that may share a read: same features, same Authorization header."""

    feature_set: FeatureSet
    authorization: str


@dataclass(slots=True, eq=False)
class Waiter:
    """One call for one row. Times are the event loop's, in seconds."""

    key: RowKey
    deadline: float
    arrived: float
    future: asyncio.Future[Served]
    batch: "Batch | None" = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of a read."""

    rows: RowsRead
    upstream_s: float
    report: ReadReport


@dataclass(slots=True, eq=False)
class Batch:
    """A read in flight, and the calls that wait for it."""

    group: Group
    waiters: dict[RowKey, list[Waiter]]
    slot: Slot
    started: float
    task: asyncio.Task[None] | None = field(default=None)

    waiting: int = 0
    """How many of its calls have not ended yet."""

    read_started: float = 0.0
    read_ends: float = 0.0
    """When the time of the read under way ends."""

    def add(self, waiter: Waiter) -> None:
        """Let a call wait for this read."""
        waiter.batch = self
        self.waiters.setdefault(waiter.key, []).append(waiter)
        self.waiting += 1

    @property
    def queue_times_s(self) -> list[float]:
        """How long each of its calls had waited when it left."""
        return [self.started - waiter.arrived for waiters in self.waiters.values() for waiter in waiters]

    def hand_out(self, keys: Sequence[RowKey], read: Rows) -> None:
        """Answer the calls for the rows that a read was for."""
        for key, row in zip(keys, read.rows, strict=True):
            if isinstance(row, WrongValueError):
                self.fail([key], row)
                continue
            for waiter in self.waiters[key]:
                if not waiter.future.done():
                    queue_s = self.started - waiter.arrived
                    waiter.future.set_result(Served(row, queue_s, read.upstream_s, len(keys), read.report))

    def fail(self, keys: Iterable[RowKey], error: BaseException) -> None:
        """End the calls for some of its rows with an error."""
        for key in keys:
            for waiter in self.waiters[key]:
                if not waiter.future.done():
                    waiter.future.set_exception(error)
