"""The one table of feature types: for each, its form in Feast's JSON, in the API's messages and in HTTP's JSON."""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_gateway.values import FeatureValue

_NS_PER_S = 1_000_000_000
_NS_PER_US = 1000
_INT32_LIMIT = 2**31
_INT64_LIMIT = 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Feast's names, and protobuf's, for what JSON has no number for.
_FLOATS_BY_NAME = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Dtype:
    """A type that features can have."""

    name: str
    """Feast's name of the type."""

    python_type: type
    """The type of a FeatureValue."""

    from_feast_json: Callable[[Any], FeatureValue]
    """Returns the value of JSON that is not null; raises TypeError or ValueError for a value of another type.

    The exception's text is without the value, which is for its user alone.
    """

    proto_field: str
    """The field of the API's Feature message."""

    fill_proto: Callable[[Any, Any], None] | None = None
    """Writes a value into the field when the field is a message; None when the field is set."""

    to_json: Callable[[Any], FeatureValue] = lambda value: value
    """Returns a value as protobuf's JSON mapping has it, but Int64 as a number."""

    json_is_typed: bool = False
    """Whether a JSON value of `python_type` needs no conversion and no check."""


def rfc3339(stamp_ns: int) -> str:
    """Return nanoseconds since 1970, UTC, as RFC 3339 with microseconds."""
    moment = _EPOCH + timedelta(microseconds=stamp_ns // _NS_PER_US)
    return moment.isoformat().replace("+00:00", "Z")


def _to_bool(value: Any) -> bool:
    if value is not True and value is not False:
        raise TypeError(f"got {type(value).__name__}")
    return value


def _to_int(limit: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if type(value) is not int or not -limit <= value < limit:
            raise TypeError(f"got {type(value).__name__}")
        return value

    return convert


def _to_float(value: Any) -> float:
    if isinstance(value, str) and value in _FLOATS_BY_NAME:
        return _FLOATS_BY_NAME[value]
    if type(value) not in {int, float}:
        raise TypeError(f"got {type(value).__name__}")
    return float(value)


def _to_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}")
    return value


def _to_bytes(value: Any) -> bytes:
    return base64.b64decode(_to_text(value), validate=True)


def _to_timestamp_ns(value: Any) -> int:
    return _to_int(_INT64_LIMIT // _NS_PER_S)(value) * _NS_PER_S


def _float_json(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _bytes_json(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _fill_timestamp(message: Any, value: int) -> None:
    message.seconds, message.nanos = divmod(value, _NS_PER_S)


DTYPES: Mapping[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        Dtype("Bool", bool, _to_bool, "bool_value", json_is_typed=True),
        Dtype("Int32", int, _to_int(_INT32_LIMIT), "int32_value"),
        Dtype("Int64", int, _to_int(_INT64_LIMIT), "int64_value"),
        Dtype("Float32", float, _to_float, "float_value", to_json=_float_json, json_is_typed=True),
        Dtype("Float64", float, _to_float, "double_value", to_json=_float_json, json_is_typed=True),
        Dtype("String", str, _to_text, "string_value", json_is_typed=True),
        Dtype("Bytes", bytes, _to_bytes, "bytes_value", to_json=_bytes_json),
        Dtype("UnixTimestamp", int, _to_timestamp_ns, "timestamp_value", _fill_timestamp, to_json=rfc3339),
    )
}
"""The types that the gateway serves, by name."""
