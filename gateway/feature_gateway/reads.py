"""What a read is asked for and what it returns: the interfaces between lookup, coalescing and upstream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import OneRowError, WrongValueError
from feature_gateway.values import Row


@dataclass(frozen=True, slots=True)
class ReadReport:
    """How a read went."""

    retried: bool = False
    hedged: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A row, and how it was read."""

    row: Row
    queue_s: float
    upstream_s: float
    batch_size: int
    report: ReadReport

    stale_age_s: float | None = None
    """How long ago a remembered row was read, in seconds; the other numbers are then zero. None for a row just read."""


RowsRead = Sequence[Row | WrongValueError]
"""One row a key, in the order asked, or the error of a row with a value that is not of its type."""


class Slot(Protocol):
    """Room for one read, in use until it is freed, whatever becomes of the read's callers."""

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[RowsRead, ReadReport]:
        """Return one row a key, in order, and how they were read; raise GatewayError."""
        ...

    def free(self) -> None:
        """Give the room back; without effect the second time."""
        ...


class SlotSource(Protocol):
    """Where slots are taken."""

    @property
    def slots(self) -> int:
        """How many reads may be in flight."""
        ...

    def take_slot(self) -> Slot | None:
        """Return a slot; None while none is free."""
        ...

    def when_slots_free(self, act: Callable[[], object]) -> None:
        """Have `act` called whenever a slot may have become free."""
        ...


class RowReader(Protocol):
    """What rows are asked of, call by call."""

    async def row(self, feature_set: FeatureSet, key: RowKey, *, authorization: str, timeout_s: float) -> Served:
        """Return the row of a key; raise GatewayError."""
        ...

    async def rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> Sequence[Served | OneRowError]:
        """Return the rows of many keys, in order, or the error of one row; raise GatewayError."""
        ...
