"""Calls that wait, and the reads that answer several of them; times are the event loop's, in seconds."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import WrongValueError
from feature_gateway.reads import Outcome, ReadReport, RowsRead, Served, Slot

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan


class Group(NamedTuple):
    """The calls that may share a read: same features, same caller."""

    feature_set: FeatureSet
    caller_key: str


@dataclass(slots=True, eq=False)
class Waiter:
    """One call for one row, or a whole call. Times are the event loop's, in seconds."""

    key: RowKey
    """The row's key; the keys of all rows in the order asked, if the feature set is read by whole calls."""

    deadline: float
    arrived: float
    outcome: Outcome

    span: "CallSpan | None" = None
    """The span of its call; None if that is not sampled."""

    batch: "Batch | None" = None


def units_of(feature_set: FeatureSet, keys: Sequence[RowKey], *, of_one_call: bool = True) -> Sequence[RowKey]:
    """Return what calls wait for: rows one by one, or all of them at once if they are of one call and have to be."""
    if not feature_set.reads_whole_calls:
        return keys
    return (tuple(keys),) if of_one_call else [(key,) for key in keys]


@dataclass(slots=True, eq=False)
class Ask:
    """Calls of one group that one caller waits for."""

    group: Group
    waiters: Sequence[Waiter]

    tick: int = 0
    """What its deadline is dropped by."""


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

    traced: bool = False
    """Whether any of its calls is sampled."""

    waiting: int = 0
    """How many of its calls have not ended yet."""

    read_started: float = 0.0
    read_ends: float = 0.0
    """When the time of the read under way ends."""

    def add(self, waiter: Waiter) -> None:
        """Let a call wait for this read."""
        waiter.batch = self
        if waiter.span is not None:
            self.traced = True
        self.waiters.setdefault(waiter.key, []).append(waiter)
        self.waiting += 1

    @property
    def queue_times_s(self) -> list[float]:
        """How long each of its calls had waited when it left."""
        return [self.started - waiter.arrived for waiters in self.waiters.values() for waiter in waiters]

    def askers_of(self, keys: Iterable[RowKey]) -> "list[CallSpan | None]":
        """Return who asks for some of its keys, key by key: the span of each call, None for one that is not sampled."""
        return [waiter.span for key in keys for waiter in self.waiters[key]]

    def rows_of(self, keys: Iterable[RowKey]) -> list[RowKey]:
        """Return the keys of the rows that are read for some of its keys."""
        if self.group.feature_set.reads_whole_calls:
            return [row for key in keys for row in cast("tuple[RowKey, ...]", key)]
        return [*keys]

    def hand_out(self, keys: Sequence[RowKey], read: Rows) -> None:
        """Answer the calls for the rows that a read was for."""
        # A read has one whole call at most.
        parts = [read.rows] if self.group.feature_set.reads_whole_calls else [(row,) for row in read.rows]
        for key, rows in zip(keys, parts, strict=True):
            for waiter in self.waiters[key]:
                if not waiter.outcome.done():
                    how: Any = (self.started - waiter.arrived, read.upstream_s, len(read.rows), read.report)
                    answer = [row if isinstance(row, WrongValueError) else Served(row, *how) for row in rows]
                    waiter.outcome.set_result(answer)

    def fail(self, keys: Iterable[RowKey], error: BaseException) -> None:
        """End the calls for some of its rows with an error."""
        for key in keys:
            for waiter in self.waiters[key]:
                if not waiter.outcome.done():
                    waiter.outcome.set_exception(error)
