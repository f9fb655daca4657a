"""Each feature type has one row: how its values are encoded, and what callers get of them."""

import math
from typing import Any

import pytest
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.dtypes import DTYPES
from feature_gateway.grpc_api.user_reply import response_of
from feature_gateway.lookup.query import UserFeatures
from feature_gateway.reads import ReadReport, Served
from hypothesis import given
from hypothesis import strategies as st
from list_fakes import LISTS, ListCase
from row_fakes import present, value_of
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse


def _encoded(dtype: str, feast: object) -> bytes:
    encoded = DTYPES[dtype].from_feast_json(feast)
    assert encoded is not None
    assert DTYPES[dtype].is_value(encoded)
    return encoded


def _sent(dtype: str, encoded: bytes) -> feature_pb2.Feature:
    """The feature of a reply."""
    feature_set = FeatureSet((ContractFeature("f", "v", "f", dtype, None),), ())
    row = present(encoded)
    answer = UserFeatures("u", feature_set, row, "hash", Served(row, 0.0, 0.0, 1, ReadReport()), 0.0)
    (feature,) = GetUserFeaturesResponse.FromString(response_of(answer, serving_info=False)).user_features.features
    assert feature.WhichOneof("value") == DTYPES[dtype].proto_field
    return feature


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
        ("Float32", 1e300, math.inf, "Infinity"),
        ("Float64", "-Infinity", -math.inf, "-Infinity"),
        ("String", "DSL", "DSL", "DSL"),
        ("Bytes", "AP8=", b"\x00\xff", "AP8="),
        ("UnixTimestamp", 1_709_164_800, 1_709_164_800, "2024-02-29T00:00:00Z"),
        ("UnixTimestamp", -1, -1, "1969-12-31T23:59:59Z"),
        ("UnixTimestamp", 0, 0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_value_goes_from_feasts_json_through_the_message_and_out_as_json(
    dtype: str, feast: object, value: Any, shown: object
) -> None:
    encoded = _encoded(dtype, feast)
    assert (value_of(encoded), type(value_of(encoded))) == (value, type(value))
    content = getattr(_sent(dtype, encoded), DTYPES[dtype].proto_field)
    assert (content.ToNanoseconds() == value * 10**9) if dtype == "UnixTimestamp" else (content == value)
    assert DTYPES[dtype].to_json(encoded) == shown


def test_feasts_null_timestamp_is_null() -> None:
    assert DTYPES["UnixTimestamp"].from_feast_json(-(2**63)) is None


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case.of)
def test_a_list_goes_from_feasts_json_through_the_message_and_out_as_json(case: ListCase) -> None:
    for feast, elements, shown in ((case.feast, case.sent, case.shown), ([], [], [])):
        encoded = _encoded(case.dtype, feast)
        assert [*value_of(encoded)] == list(getattr(_sent(case.dtype, encoded), case.field).val)
        assert [*value_of(encoded)] == elements
        assert DTYPES[case.dtype].to_json(encoded) == shown


def test_a_list_of_floats_may_have_whole_numbers_and_nan() -> None:
    encoded = _encoded("List(Float32)", [1, "NaN", 1e300])
    assert repr(value_of(encoded)) == "(1.0, nan, inf)"
    assert DTYPES["List(Float32)"].to_json(encoded) == [1.0, "NaN", "Infinity"]


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
