"""Slots in front of a reader that a test ends."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.reads import ReadReport, Slot
from feature_gateway.values import Row
from row_fakes import row_of_text


class Reader(Protocol):
    """What the slots' rows are read from."""

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        """Return one row a key, in order."""
        ...


@dataclass
class TimedReader:
    """Answers each read after a time, for each read and for each of its rows."""

    read_s: float
    row_s: float = 0.0
    reads: int = 0
    under_way: int = 0
    most_under_way: int = 0

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        del feature_set, authorization, timeout_s
        self.reads += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        # As a server: what has begun goes on, whoever waits for it.
        done = asyncio.ensure_future(asyncio.sleep(self.read_s + self.row_s * len(keys)))
        done.add_done_callback(self._ended)
        await asyncio.shield(done)
        return [row_of_text(str(name)) for (name,) in keys], ReadReport()

    def _ended(self, _done: "asyncio.Future[None]") -> None:
        self.under_way -= 1


@dataclass
class FixedSlots:
    """A number of slots, all in front of one reader."""

    reader: Reader
    slots: int = 1
    taken: int = 0
    act: Callable[[], object] = field(default=lambda: None)

    def take_slot(self) -> Slot | None:
        return FixedSlot(self) if self.taken < self.slots else None

    def when_slots_free(self, act: Callable[[], object]) -> None:
        self.act = act


class FixedSlot:
    """One of them."""

    def __init__(self, source: FixedSlots) -> None:
        self._source = source
        self._freed = False
        source.taken += 1

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        assert not self._freed
        return await self._source.reader.read_rows(feature_set, keys, authorization=authorization, timeout_s=timeout_s)

    def free(self) -> None:
        if not self._freed:
            self._freed = True
            self._source.taken -= 1
            self._source.act()
