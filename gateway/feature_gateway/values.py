"""One row of features: encoded values, and what is said of them."""

import marshal
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

EncodedValue = bytes | None
"""A feast.types.Value with one field, that of its feature's type, as protobuf writes it. None for no value."""

# A month's snapshot gives all rows the same timestamps, so few judgements are in use at a time.
_MAX_REMEMBERED = 4096


class FeatureStatus(IntEnum):
    """What is known about a value. Names and numbers are those of the API's FeatureStatus."""

    PRESENT = 1
    NULL_VALUE = 2
    NOT_FOUND = 3
    OUTSIDE_MAX_AGE = 4

    # Enum's own hash is by name, in Python; statuses are hashed in each new judgement.
    __hash__ = int.__hash__


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a row's values, in their order. Rows of the same times and nulls share one object."""

    statuses: tuple[FeatureStatus, ...]

    event_timestamps_ns: tuple[int | None, ...]
    """Nanoseconds since 1970, UTC; None where the status is NOT_FOUND, or if the time is not known."""

    known: bool
    """Whether any view that was read has a row of the key."""

    packed: bytes = field(init=False, repr=False, compare=False)
    """All of it, for `unpacked`."""

    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once: what is made of a judgement is found by it for every reply.
        parts = self.statuses, self.event_timestamps_ns, self.known
        object.__setattr__(self, "_hash", hash(parts))
        object.__setattr__(self, "packed", marshal.dumps((bytes(self.statuses), *parts[1:])))

    def __hash__(self) -> int:
        return self._hash

    @staticmethod
    @lru_cache(maxsize=_MAX_REMEMBERED)
    def unpacked(packed: bytes) -> "Judgement":
        """Return the judgement that was packed."""
        statuses, stamps_ns, known = marshal.loads(packed)  # noqa: S302  # the process's own bytes
        return Judgement(tuple(map(FeatureStatus, statuses)), stamps_ns, known)

    @lru_cache(maxsize=_MAX_REMEMBERED)  # noqa: B019  # bounded, and a judgement is small
    def in_order(self, positions: tuple[int, ...]) -> "Judgement":
        """Return the judgement of the values in the order of their positions."""
        return Judgement(
            tuple(self.statuses[position] for position in positions),
            tuple(self.event_timestamps_ns[position] for position in positions),
            self.known,
        )


class Row(NamedTuple):
    """The features of one key, in the order of the feature set that was read."""

    values: tuple[EncodedValue, ...]
    """None where the status is NULL_VALUE or NOT_FOUND."""

    judgement: Judgement

    def in_order(self, positions: tuple[int, ...]) -> "Row":
        """Return the row with its features in the order of their positions."""
        return Row(tuple(self.values[position] for position in positions), self.judgement.in_order(positions))
