"""Each feature type has one row: what the API has a field for, and what it makes of values."""

import math
from typing import Any

import pytest
from feature_gateway.dtypes import DTYPES
from streamflow.features.v1 import feature_pb2


def test_each_field_of_the_apis_value_is_one_types() -> None:
    fields = feature_pb2.Feature.DESCRIPTOR.oneofs_by_name["value"].fields
    assert [dtype.proto_field for dtype in DTYPES.values()] == [field.name for field in fields]


@pytest.mark.parametrize(
    ("dtype", "feast", "value", "shown"),
    [
        ("Bool", True, True, True),
        ("Int32", -5, -5, -5),
        ("Int64", 2**62, 2**62, 2**62),
        ("Float32", 0.5, 0.5, 0.5),
        ("Float64", "-Infinity", -math.inf, "-Infinity"),
        ("String", "DSL", "DSL", "DSL"),
        ("Bytes", "AP8=", b"\x00\xff", "AP8="),
        ("UnixTimestamp", 1_709_164_800, 1_709_164_800_000_000_000, "2024-02-29T00:00:00Z"),
    ],
)
def test_a_value_goes_from_feasts_json_through_the_message_and_out_as_json(
    dtype: str, feast: object, value: object, shown: object
) -> None:
    kind = DTYPES[dtype]
    read = kind.from_feast_json(feast)
    assert (read, type(read)) == (value, kind.python_type)
    message: Any = feature_pb2.Feature()
    if kind.fill_proto is None:
        setattr(message, kind.proto_field, read)
        assert getattr(message, kind.proto_field) == value
    else:
        kind.fill_proto(getattr(message, kind.proto_field), read)
        assert getattr(message, kind.proto_field).ToNanoseconds() == value
    assert message.WhichOneof("value") == kind.proto_field
    assert kind.to_json(read) == shown
