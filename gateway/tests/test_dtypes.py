"""Each feature type has one row: what the API has a field for, and what it makes of values."""

import math
from typing import Any

import pytest
from feature_gateway.dtypes import DTYPES
from hypothesis import given
from hypothesis import strategies as st
from list_fakes import LISTS, ListCase
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


def test_feasts_null_timestamp_is_null() -> None:
    assert DTYPES["UnixTimestamp"].from_feast_json(-(2**63)) is None


def _filled(dtype: str, value: object) -> Any:
    message: Any = feature_pb2.Feature()
    kind = DTYPES[dtype]
    assert kind.fill_proto is not None
    kind.fill_proto(getattr(message, kind.proto_field), value)
    assert message.WhichOneof("value") == kind.proto_field
    return getattr(message, kind.proto_field).val


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case.of)
def test_a_list_goes_from_feasts_json_through_the_message_and_out_as_json(case: ListCase) -> None:
    kind = DTYPES[case.dtype]
    read = kind.from_feast_json(case.feast)
    assert read == case.value
    assert isinstance(read, tuple)
    assert [*map(type, read)] == [*map(type, case.value)]
    assert kind.proto_field == case.field
    assert list(_filled(case.dtype, read)) == case.sent
    assert [*kind.to_json(read)] == case.shown


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case.of)
def test_an_empty_list_is_a_value(case: ListCase) -> None:
    kind = DTYPES[case.dtype]
    assert kind.from_feast_json([]) == ()
    assert list(_filled(case.dtype, ())) == []
    assert [*kind.to_json(())] == []


def test_a_list_of_floats_may_have_whole_numbers_and_nan() -> None:
    kind = DTYPES["List(Float32)"]
    read = kind.from_feast_json([1, "NaN"])
    assert repr(read) == "(1.0, nan)"
    assert kind.to_json(read) == [1.0, "NaN"]


@pytest.mark.parametrize(
    ("of", "wrong"),
    [
        ("Bool", [1]),
        ("Bool", [None]),
        ("Int32", [0, 2**31]),
        ("Int32", [-(2**31) - 1, 0]),
        ("Int64", [2**63]),
        ("Int64", [1, True]),
        ("Int64", [1.0]),
        ("Int64", [[1]]),
        ("Int64", 1),
        ("Float32", [0.5, None]),
        ("Float64", [True]),
        ("Float64", ["1.0"]),
        ("Float64", {"val": [1.0]}),
        ("String", "text"),
        ("String", ["text", 1]),
        ("Bytes", "AP8="),
        ("Bytes", ["not base64!"]),
        ("Bytes", [b"".hex(), 1]),
        ("UnixTimestamp", ["2024-02-29"]),
        ("UnixTimestamp", [None]),
        ("UnixTimestamp", [1.5]),
        ("UnixTimestamp", [2**63 - 1]),
    ],
)
def test_a_list_with_an_element_of_another_type_is_refused(of: str, wrong: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        DTYPES[f"List({of})"].from_feast_json(wrong)


@given(
    st.lists(st.sampled_from([0, 1, -1, 2**31, -(2**63), 2**63, 0.5, True, "NaN", "x", "AAAA", None, []]), max_size=3)
)
def test_a_list_is_taken_if_each_of_its_elements_would_be(elements: list[Any]) -> None:
    def taken(dtype: str, value: object) -> bool:
        try:
            DTYPES[dtype].from_feast_json(value)
        except (TypeError, ValueError):
            return False
        return True

    for case in LISTS:
        # The exception: null in a list of timestamps.
        single = [element for element in elements if (case.of, element) != ("UnixTimestamp", -(2**63))]
        assert taken(case.dtype, elements) == all(taken(case.of, element) for element in single)
