"""The one table of feature types: how values are encoded, and what Feast's JSON, the API and HTTP's JSON have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from streamflow.features.feast.types import Value_pb2
from streamflow.features.v1 import feature_pb2

from feature_gateway import encoding
from feature_gateway.checking import (
    Check,
    ColumnCheck,
    bytes_check,
    column_check,
    fixed_check,
    fixed_column_check,
    int_check,
    list_check,
    text_check,
)
from feature_gateway.conversions import (
    byte_strings_json,
    bytes_json,
    float_json,
    floats_json,
    timestamp_json,
    timestamps_json,
)
from feature_gateway.encoding import (
    MAX_TIMESTAMP_S,
    Encoder,
    bool_encoder,
    bytes_encoder,
    float_encoder,
    int_encoder,
    list_encoder,
    text_encoder,
    timestamp_encoder,
)
from feature_gateway.wire import DELIMITED, FIXED32, FIXED64, VARINT, tag

INT_LIMITS: Mapping[str, int] = {"Int32": 2**31, "Int64": 2**63}
"""The integer types: their values are from -limit to below limit."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """A type that features can have."""

    name: str
    """Feast's name of the type; of Feast's Array(Int64) it is List(Int64)."""

    feast_field: str
    """The field of Feast's Value message."""

    proto_field: str
    """The field of the API's Feature message."""

    tag: bytes
    """What stands ahead of the value in a Value."""

    proto_tag: bytes
    """What stands ahead of the value in a Feature. What follows is the same, but for UnixTimestamp, a message there."""

    from_feast_json: Encoder
    """Returns the encoded value of JSON that is not null; raises TypeError or ValueError for another type's value."""

    is_value: Check
    """Whether bytes are an encoded value of the type. Feast's null timestamp is none, but may be in a list."""

    are_values: ColumnCheck
    """The same for several, at least one."""

    content_json: Callable[[Any], Any]
    """Returns what the field of a Value holds as protobuf's JSON mapping has it, but Int64 as a number."""

    def to_json(self, value: bytes) -> Any:
        """Return an encoded value as protobuf's JSON mapping has it, but Int64 as a number."""
        content = getattr(Value_pb2.Value.FromString(value), self.feast_field)
        return self.content_json(content.val if self.name.startswith("List(") else content)


def element_of(dtype: str) -> str:
    """Return the name of the type of a list's elements; of another type, its own name."""
    return dtype.removeprefix("List(").removesuffix(")")


def _tag(message: Any, field: str) -> bytes:
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return tag(descriptor.number, _WIRE_TYPES.get(descriptor.type, DELIMITED))


def _dtype(
    name: str,
    proto_field: str,
    encoder: Callable[[bytes], Encoder],
    check: Callable[[bytes], Check],
    to_json: Callable[[Any], Any] = lambda value: value,
) -> Dtype:
    feast_field = proto_field.replace("timestamp", "unix_timestamp").replace("_value", "_val")
    ahead, proto_tag = _tag(Value_pb2.Value, feast_field), _tag(feature_pb2.Feature, proto_field)
    is_value = check(ahead)
    size = _FIXED_BYTES.get(name)
    are_values = column_check(is_value) if size is None else fixed_column_check(size)(ahead)
    return Dtype(name, feast_field, proto_field, ahead, proto_tag, encoder(ahead), is_value, are_values, to_json)


def _list(
    of: str,
    proto_field: str,
    message: Any,
    element: Callable[[Any], Any],
    to_json: Callable[[Any], Any] = list,
) -> Dtype:
    encoder, check = list_encoder(message, element), list_check(message, times=of == "UnixTimestamp")
    return _dtype(f"List({of})", proto_field, encoder, check, to_json)


_WIRE_TYPES = {
    FieldDescriptor.TYPE_BOOL: VARINT,
    FieldDescriptor.TYPE_INT32: VARINT,
    FieldDescriptor.TYPE_INT64: VARINT,
    FieldDescriptor.TYPE_FLOAT: FIXED32,
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
}
"""The wire types of fields that are not delimited."""

_FIXED_BYTES = {"Float32": 4, "Float64": 8}

_TIMES = int_check(-MAX_TIMESTAMP_S, MAX_TIMESTAMP_S)
_INT32, _INT64 = INT_LIMITS["Int32"], INT_LIMITS["Int64"]

DTYPES: Mapping[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        _dtype("Bool", "bool_value", bool_encoder, int_check(0, 2)),
        _dtype("Int32", "int32_value", int_encoder(_INT32), int_check(-_INT32, _INT32)),
        _dtype("Int64", "int64_value", int_encoder(_INT64), int_check(-_INT64, _INT64)),
        _dtype("Float32", "float_value", float_encoder("<f"), fixed_check(_FIXED_BYTES["Float32"]), float_json),
        _dtype("Float64", "double_value", float_encoder("<d"), fixed_check(_FIXED_BYTES["Float64"]), float_json),
        _dtype("String", "string_value", text_encoder, text_check),
        _dtype("Bytes", "bytes_value", bytes_encoder, bytes_check, bytes_json),
        _dtype(
            "UnixTimestamp",
            "timestamp_value",
            timestamp_encoder,
            int_check(-MAX_TIMESTAMP_S, MAX_TIMESTAMP_S),
            timestamp_json,
        ),
        _list("Bool", "bool_list_value", Value_pb2.BoolList, encoding.BOOL),
        _list("Int32", "int32_list_value", Value_pb2.Int32List, encoding.INT32),
        _list("Int64", "int64_list_value", Value_pb2.Int64List, encoding.INT64),
        _list("Float32", "float_list_value", Value_pb2.FloatList, encoding.FLOAT, floats_json),
        _list("Float64", "double_list_value", Value_pb2.DoubleList, encoding.FLOAT, floats_json),
        _list("String", "string_list_value", Value_pb2.StringList, encoding.TEXT),
        _list("Bytes", "bytes_list_value", Value_pb2.BytesList, encoding.BYTES, byte_strings_json),
        _list("UnixTimestamp", "timestamp_list_value", Value_pb2.Int64List, encoding.TIMESTAMP, timestamps_json),
    )
}
"""The types that the gateway serves, by name."""
