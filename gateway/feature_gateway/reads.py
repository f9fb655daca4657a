"""What a read is asked for and what it returns: the interfaces between lookup, coalescing and upstream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError, OneRowError, WrongValueError
from feature_gateway.values import Row


@dataclass(frozen=True, slots=True)
class ReadReport:
    """How a read went."""

    retried: bool = False
    hedged: bool = False


class Served(NamedTuple):
    """A row, and how it was read."""

    row: Row
    queue_s: float
    upstream_s: float
    batch_size: int
    report: ReadReport

    stale_age_s: float | None = None
    """How long ago a remembered row was read, in seconds; the other numbers are then zero. None for a row just read."""


Answers = Sequence[Served | OneRowError]
"""What a call for a row ends with: the row or its error; the rows of a whole call, if they are read at once."""


class Outcome(Protocol):
    """Where the answers to a call go: a future, or what acts on them at once and raises nothing."""

    def done(self) -> bool:
        """Return whether the call has ended."""
        ...

    def set_result(self, result: Answers, /) -> None:
        """End the call with its answers."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """End the call with what it is to raise."""
        ...

    def cancel(self) -> object:
        """End the call if it has not ended."""
        ...


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
    """What rows are asked of, call by call; `caller_key` is the key of the caller."""

    async def row(self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float) -> Served:
        """Return the row of a key; raise GatewayError."""
        ...

    async def rows(
        self,
        feature_set: FeatureSet,
        keys: Sequence[RowKey],
        *,
        caller_key: str,
        timeout_s: float,
        of_one_call: bool = True,
    ) -> Sequence[Served | GatewayError]:
        """Return the rows of many keys, in order, or why one has none; raise GatewayError where none has a row.

        `of_one_call` says whether features that may depend on the other rows of a call are to have these rows beside
        them.
        """
        ...


@runtime_checkable
class RowAsker(Protocol):
    """What can be asked for a row without a task that waits."""

    def ask(
        self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float, outcome: Outcome
    ) -> Callable[[], None]:
        """Ask for the row of a key, whose answer or error goes to `outcome`, later; return what ends the call.

        The caller must end each call, answered or not. Raises GatewayError if the row is not asked for.
        """
        ...
