"""The API's list messages are Feast's, byte for byte, so that a stored list can be sent as it is."""

import math
from typing import Any

import pytest
from feast.protos.feast.types import Value_pb2
from streamflow.features.v1 import feature_pb2


@pytest.mark.parametrize(
    ("feast", "ours", "elements"),
    [
        ("BoolList", "BoolList", [True, False]),
        ("Int32List", "Int32List", [-(2**31), 0, 2**31 - 1]),
        ("Int64List", "Int64List", [-(2**63), 0, 2**63 - 1]),
        ("FloatList", "FloatList", [0.5, -0.0, math.inf] * 256),
        ("DoubleList", "DoubleList", [5e-324, -0.0, math.inf] * 256),
        ("StringList", "StringList", ["", "naïve 名"]),
        ("BytesList", "BytesList", [b"", b"\x00\xff"]),
        ("Int64List", "UnixTimestampList", [1_709_164_800, -(2**63)]),
    ],
)
def test_a_list_has_the_bytes_of_feasts(feast: str, ours: str, elements: list[Any]) -> None:
    for held in (elements, []):
        stored = getattr(Value_pb2, feast)(val=held).SerializeToString()
        sent = getattr(feature_pb2, ours)(val=held)
        assert sent.SerializeToString() == stored
        assert sent.FromString(stored) == sent
