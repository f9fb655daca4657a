"""Values of every type have Feast's form in messages, and only what feature servers take is read from them."""

from typing import Any

import pytest
from feast.protos.feast.types.Value_pb2 import RepeatedValue as FeastRepeatedValue
from feature_gateway.dtypes import DTYPES
from feature_gateway.grpc_api.feast_values import FORMS, add_value, python_values
from streamflow.features.feast.types.Value_pb2 import RepeatedValue

_NS = 1_000_000_000

# By type: a value of the gateway's, the field of Feast's message, and what the field holds.
_VALUES: dict[str, tuple[Any, str, Any]] = {
    "Bool": (False, "bool_val", False),
    "Int32": (-(2**31), "int32_val", -(2**31)),
    "Int64": (2**63 - 1, "int64_val", 2**63 - 1),
    "Float32": (0.5, "float_val", 0.5),
    "Float64": (29.85, "double_val", 29.85),
    "String": ("", "string_val", ""),
    "Bytes": (b"\x00\xff", "bytes_val", b"\x00\xff"),
    "UnixTimestamp": (-1 * _NS, "unix_timestamp_val", -1),
    "List(Bool)": ((True, False), "bool_list_val", [True, False]),
    "List(Int32)": ((1, -1), "int32_list_val", [1, -1]),
    "List(Int64)": ((2**63 - 1,), "int64_list_val", [2**63 - 1]),
    "List(Float32)": ((0.5, 1.5), "float_list_val", [0.5, 1.5]),
    "List(Float64)": ((29.85,), "double_list_val", [29.85]),
    "List(String)": (("a", ""), "string_list_val", ["a", ""]),
    "List(Bytes)": ((b"\x00", b""), "bytes_list_val", [b"\x00", b""]),
    "List(UnixTimestamp)": ((1709164800 * _NS, 0, None), "unix_timestamp_list_val", [1709164800, 0, -(2**63)]),
}


def _written(dtype: str, *values: Any) -> FeastRepeatedValue:
    """What Feast's own code reads of a column that the gateway writes."""
    column = RepeatedValue()
    for value in values:
        add_value(column.val, FORMS[dtype], value)
    return FeastRepeatedValue.FromString(column.SerializeToString())


@pytest.mark.parametrize("dtype", _VALUES)
def test_a_value_of_each_type_is_in_feasts_field_beside_a_null_without_one(dtype: str) -> None:
    value, field, held = _VALUES[dtype]
    first, null = _written(dtype, value, None).val
    assert first.WhichOneof("val") == field
    content = getattr(first, field)
    assert ([*content.val] if field.endswith("_list_val") else content) == held
    assert null.WhichOneof("val") is None


@pytest.mark.parametrize("dtype", [dtype for dtype in _VALUES if dtype.startswith("List")])
def test_an_empty_list_is_not_null(dtype: str) -> None:
    (value,) = _written(dtype, ()).val
    assert value.WhichOneof("val") == _VALUES[dtype][1]


def test_every_type_that_the_gateway_serves_has_a_form() -> None:
    assert DTYPES.keys() == FORMS.keys() == _VALUES.keys()


def _read(**fields: Any) -> list[Any]:
    column = FeastRepeatedValue()
    for field, value in fields.items():
        message = column.val.add()
        if field.endswith("_list_val"):
            getattr(message, field).val.extend(value)
            getattr(message, field).SetInParent()
        else:
            setattr(message, field, value)
    return python_values(RepeatedValue.FromString(column.SerializeToString()))


def test_numbers_texts_and_truth_are_read_with_their_types() -> None:
    read = _read(bool_val=True, int32_val=1, int64_val=2**63 - 1, float_val=0.5, double_val=1.0, string_val="1")
    assert [(type(value), value) for value in read] == [
        (bool, True),
        (int, 1),
        (int, 2**63 - 1),
        (float, 0.5),
        (float, 1.0),
        (str, "1"),
    ]


def test_lists_are_read() -> None:
    read = _read(
        bool_list_val=[True],
        int32_list_val=[1],
        int64_list_val=[2],
        float_list_val=[0.5],
        double_list_val=[1.5],
        string_list_val=["a"],
    )
    assert read == [[True], [1], [2], [0.5], [1.5], ["a"]]


def test_values_that_no_column_takes_are_none() -> None:
    read = _read(
        bytes_val=b"x",
        unix_timestamp_val=1,
        bytes_list_val=[b"x"],
        unix_timestamp_list_val=[1],
        null_val=0,
        json_val="{}",
    )
    assert read == [None] * 6


def test_a_value_without_a_field_is_none() -> None:
    column = RepeatedValue()
    column.val.add()
    assert python_values(column) == [None]
