"""One row of features: values, statuses, event timestamps."""

from dataclasses import dataclass
from enum import IntEnum

Element = bool | int | float | str | bytes | None
"""An element of a list; a UnixTimestamp is in nanoseconds since 1970, UTC. None for a null UnixTimestamp."""

FeatureValue = bool | int | float | str | bytes | tuple[Element, ...] | None
"""A value of a contract's type; a UnixTimestamp is in nanoseconds since 1970, UTC. None for no value."""


class FeatureStatus(IntEnum):
    """What is known about a value. Names and numbers are those of the API's FeatureStatus."""

    PRESENT = 1
    NULL_VALUE = 2
    NOT_FOUND = 3
    OUTSIDE_MAX_AGE = 4

    # Enum's own hash is by name, in Python; rows of statuses are looked up for every reply.
    __hash__ = int.__hash__


@dataclass(frozen=True, slots=True)
class Row:
    """The features of one key, in the order of the feature set that was read."""

    values: tuple[FeatureValue, ...]
    """None where the status is NULL_VALUE or NOT_FOUND."""

    statuses: tuple[FeatureStatus, ...]

    event_timestamps_ns: tuple[int | None, ...]
    """Nanoseconds since 1970, UTC; None where the status is NOT_FOUND, or if the time is not known."""

    known: bool
    """Whether any view that was read has a row of the key."""

    def in_order(self, positions: tuple[int, ...]) -> "Row":
        """Return the row with its features in the order of their positions."""
        return Row(
            tuple(self.values[position] for position in positions),
            tuple(self.statuses[position] for position in positions),
            tuple(self.event_timestamps_ns[position] for position in positions),
            self.known,
        )
