"""What becomes of a value between Feast's JSON, the gateway, the API's messages and HTTP's JSON; pure.

`to_…` take JSON of `feast serve` that is not null, and raise TypeError or ValueError for a value of another type. The
exception's text is without the value. `…_json` return a value as protobuf's JSON mapping has it, but Int64 as a number.
"""

import base64
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import countOf
from typing import Any, TypeVar

from feature_gateway.values import Element

_T = TypeVar("_T", bound=Element)

_NS_PER_S = 1_000_000_000
_NS_PER_US = 1000
_INT64_LIMIT = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Feast's names, and protobuf's, for what JSON has no number for.
_FLOATS_BY_NAME = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Feast stores a null timestamp as NumPy's NaT, alone and in a list, and a null in another list as a value of its type.
_NULL_TIMESTAMP_S = -(2**63)


def rfc3339(stamp_ns: int) -> str:
    """Return nanoseconds since 1970, UTC, as RFC 3339 with microseconds."""
    moment = _EPOCH + timedelta(microseconds=stamp_ns // _NS_PER_US)
    return moment.isoformat().replace("+00:00", "Z")


def to_bool(value: Any) -> bool:
    """Return a Bool."""
    if value is not True and value is not False:
        raise TypeError(f"got {type(value).__name__}")
    return value


def to_int(limit: int) -> Callable[[Any], int]:
    """Return what makes an integer from -limit to below limit."""

    def convert(value: Any) -> int:
        if type(value) is not int or not -limit <= value < limit:
            raise TypeError(f"got {type(value).__name__}")
        return value

    return convert


def to_float(value: Any) -> float:
    """Return a Float32 or Float64."""
    if isinstance(value, str) and value in _FLOATS_BY_NAME:
        return _FLOATS_BY_NAME[value]
    if type(value) not in {int, float}:
        raise TypeError(f"got {type(value).__name__}")
    return float(value)


def to_text(value: Any) -> str:
    """Return a String."""
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}")
    return value


def to_bytes(value: Any) -> bytes:
    """Return a Bytes."""
    return base64.b64decode(to_text(value), validate=True)


_to_seconds = to_int(_INT64_LIMIT // _NS_PER_S)


def to_timestamp_ns(value: Any) -> int | None:
    """Return a UnixTimestamp in nanoseconds; None for null."""
    return None if value == _NULL_TIMESTAMP_S else _to_seconds(value) * _NS_PER_S


def _never_typed(_elements: list[Any]) -> bool:
    return False


def to_list(
    convert: Callable[[Any], _T], *, typed: Callable[[list[Any]], bool] = _never_typed
) -> Callable[[Any], tuple[_T, ...]]:
    """Return what makes a tuple; `convert` makes an element, and `typed` says whether no element needs that.

    `typed` looks at all elements at once: to convert 768 floats one by one takes ten times as long.
    """

    def convert_list(value: Any) -> tuple[_T, ...]:
        if type(value) is not list:
            raise TypeError(f"got {type(value).__name__}")
        return tuple(value) if typed(value) else tuple([convert(element) for element in value])

    return convert_list


def all_of(kind: type) -> Callable[[list[Any]], bool]:
    """Return what says whether all elements are of a type."""
    return lambda elements: countOf(map(type, elements), kind) == len(elements)


def all_ints(limit: int) -> Callable[[list[Any]], bool]:
    """Return what says whether all elements are integers from -limit to below limit, and there are any."""
    are_ints = all_of(int)
    return lambda elements: bool(elements) and are_ints(elements) and -limit <= min(elements) and max(elements) < limit


def fill_timestamp(message: Any, value: int) -> None:
    """Write a UnixTimestamp into a Timestamp."""
    message.seconds, message.nanos = divmod(value, _NS_PER_S)


def fill_list(message: Any, elements: Sequence[Element]) -> None:
    """Write a list into one of the API's list messages."""
    # Otherwise an empty list, which is a value, would set no field.
    message.SetInParent()
    message.val.extend(elements)


def fill_timestamps(message: Any, elements: Sequence[int | None]) -> None:
    """Write a list of UnixTimestamp into a UnixTimestampList."""
    fill_list(message, [_NULL_TIMESTAMP_S if element is None else element // _NS_PER_S for element in elements])


def float_json(value: float) -> float | str:
    """Return a number, or the name of what JSON has no number for."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def floats_json(elements: Sequence[float]) -> Sequence[float | str]:
    """Return numbers, or the names of what JSON has no number for."""
    return elements if all(map(math.isfinite, elements)) else [*map(float_json, elements)]


def bytes_json(value: bytes) -> str:
    """Return base64."""
    return base64.b64encode(value).decode()


def byte_strings_json(elements: Sequence[bytes]) -> list[str]:
    """Return base64 of each element."""
    return [*map(bytes_json, elements)]


def timestamps_json(elements: Sequence[int | None]) -> list[str | None]:
    """Return RFC 3339 of each element; None for null."""
    return [None if element is None else rfc3339(element) for element in elements]
