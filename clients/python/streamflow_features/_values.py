"""Features' values as Python values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet
from streamflow.features.v1.feature_pb2 import Feature

Element = bool | int | float | str | bytes | datetime | None
"""An element of a list. None for a null time. Feast stores no other null elements as such."""


@dataclass(frozen=True, slots=True)
class UnknownValue:
    """A value of a type that is newer than this client."""

    field_number: int
    """The number of the value's field in the proto's Feature."""

    data: Any
    """The field as it was sent: an int, or bytes."""


Value = bool | int | float | str | bytes | datetime | tuple[Element, ...] | UnknownValue | None
"""A feature's value; a list is a tuple, because results don't change.

None when the status is NULL_VALUE or NOT_FOUND, and when an old value was left out.
"""

# As Feast stores a null in a list of times.
_NULL_TIMESTAMP_S = -(2**63)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONEOF = Feature.DESCRIPTOR.oneofs_by_name["value"]
# Newer types get higher numbers.
_HIGHEST_NUMBER = max(field.number for field in _ONEOF.fields)


def value_of(feature: Feature) -> Value:
    """Return a feature's value."""
    field = feature.WhichOneof("value")
    if field is None:
        return _unknown_value_of(feature)
    value = getattr(feature, field)
    convert = CONVERSIONS.get(field)
    return value if convert is None else convert(value)


def event_timestamp_of(feature: Feature) -> datetime | None:
    """Return the event timestamp of a feature, in UTC, to the microsecond. None when there is none."""
    return _datetime(feature.event_timestamp) if feature.HasField("event_timestamp") else None


def moment_of(stamp_s: int) -> datetime | None:
    """Return the time of a UnixTimestamp in seconds since 1970; None for a null one."""
    return None if stamp_s == _NULL_TIMESTAMP_S else EPOCH + timedelta(seconds=stamp_s)


def _unknown_value_of(feature: Feature) -> UnknownValue | None:
    unknown: Any = UnknownFieldSet(feature)
    for field in unknown:
        if field.field_number > _HIGHEST_NUMBER:
            return UnknownValue(field.field_number, field.data)
    return None


def _elements(values: Any) -> tuple[Element, ...]:
    return tuple(values.val)


def _datetime(stamp: Timestamp) -> datetime:
    return _moment(stamp.seconds, stamp.nanos)


# The rows of one materialization have few event timestamps.
@lru_cache(maxsize=1024)
def _moment(seconds: int, nanos: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


CONVERSIONS: Mapping[str, Callable[[Any], Value]] = {
    **{field.name: _elements for field in _ONEOF.fields if field.name.endswith("_list_value")},
    "timestamp_value": _datetime,
    "timestamp_list_value": lambda values: tuple(map(moment_of, values.val)),
}
"""What makes a Python value of each field that is a message."""
