"""The one table of feature types: for each, its form in Feast's JSON, in the API's messages and in HTTP's JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feature_gateway.conversions import (
    all_ints,
    all_of,
    byte_strings_json,
    bytes_json,
    fill_list,
    fill_timestamp,
    fill_timestamps,
    float_json,
    floats_json,
    rfc3339,
    timestamps_json,
    to_bool,
    to_bytes,
    to_float,
    to_int,
    to_list,
    to_text,
    to_timestamp_ns,
)
from feature_gateway.values import FeatureValue

INT_LIMITS: Mapping[str, int] = {"Int32": 2**31, "Int64": 2**63}
"""The integer types: their values are from -limit to below limit."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """A type that features can have."""

    name: str
    """Feast's name of the type; of Feast's Array(Int64) it is List(Int64)."""

    python_type: type
    """The type of a FeatureValue."""

    from_feast_json: Callable[[Any], FeatureValue]
    """Returns the value of JSON that is not null; raises TypeError or ValueError for a value of another type.

    None is a null that JSON has a value for.

    The exception's text is without the value, which is for its user alone.
    """

    proto_field: str
    """The field of the API's Feature message."""

    fill_proto: Callable[[Any, Any], None] | None = None
    """Writes a value into the field when the field is a message; None when the field is set."""

    to_json: Callable[[Any], Any] = lambda value: value
    """Returns a value as protobuf's JSON mapping has it, but Int64 as a number."""

    json_is_typed: bool = False
    """Whether a JSON value of `python_type` needs no conversion and no check."""

    @property
    def feast_field(self) -> str:
        """The field of Feast's Value message."""
        return self.proto_field.replace("timestamp", "unix_timestamp").replace("_value", "_val")


def element_of(dtype: str) -> str:
    """Return the name of the type of a list's elements; of another type, its own name."""
    return dtype.removeprefix("List(").removesuffix(")")


def _list(
    of: str,
    proto_field: str,
    from_feast_json: Callable[[Any], FeatureValue],
    *,
    fill_proto: Callable[[Any, Any], None] = fill_list,
    to_json: Callable[[Any], Any] = tuple,
) -> Dtype:
    return Dtype(f"List({of})", tuple, from_feast_json, proto_field, fill_proto, to_json)


_INT32, _INT64 = to_int(INT_LIMITS["Int32"]), to_int(INT_LIMITS["Int64"])
_FLOATS = to_list(to_float, typed=all_of(float))

DTYPES: Mapping[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        Dtype("Bool", bool, to_bool, "bool_value", json_is_typed=True),
        Dtype("Int32", int, _INT32, "int32_value"),
        Dtype("Int64", int, _INT64, "int64_value"),
        Dtype("Float32", float, to_float, "float_value", to_json=float_json, json_is_typed=True),
        Dtype("Float64", float, to_float, "double_value", to_json=float_json, json_is_typed=True),
        Dtype("String", str, to_text, "string_value", json_is_typed=True),
        Dtype("Bytes", bytes, to_bytes, "bytes_value", to_json=bytes_json),
        Dtype("UnixTimestamp", int, to_timestamp_ns, "timestamp_value", fill_timestamp, to_json=rfc3339),
        _list("Bool", "bool_list_value", to_list(to_bool, typed=all_of(bool))),
        _list("Int32", "int32_list_value", to_list(_INT32, typed=all_ints(INT_LIMITS["Int32"]))),
        _list("Int64", "int64_list_value", to_list(_INT64, typed=all_ints(INT_LIMITS["Int64"]))),
        _list("Float32", "float_list_value", _FLOATS, to_json=floats_json),
        _list("Float64", "double_list_value", _FLOATS, to_json=floats_json),
        _list("String", "string_list_value", to_list(to_text, typed=all_of(str))),
        _list("Bytes", "bytes_list_value", to_list(to_bytes), to_json=byte_strings_json),
        _list(
            "UnixTimestamp",
            "timestamp_list_value",
            to_list(to_timestamp_ns),
            fill_proto=fill_timestamps,
            to_json=timestamps_json,
        ),
    )
}
"""The types that the gateway serves, by name."""
