"""Of Feast's values in requests, only what feature servers take is read."""

from typing import Any

from feast.protos.feast.types.Value_pb2 import RepeatedValue as FeastRepeatedValue
from feature_gateway.grpc_api.feast_values import python_values
from streamflow.features.feast.types.Value_pb2 import RepeatedValue


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
