"""A row's key has one value of the right type for each column; anything else is refused, and says what is taken."""

from pathlib import Path
from typing import Any

import pytest
from any_entity import any_entity_content
from feature_gateway.contract.columns import Column, ColumnKind, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.file import load_contract
from feature_gateway.errors import GatewayError
from feature_gateway.lookup.keys import checked, keys_of
from gateway_fakes import written_contract
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_MAX_ROWS = 5


@pytest.fixture
def trips(tmp_path: Path) -> FeatureSet:
    path = written_contract(tmp_path, any_entity_content())
    return load_contract(path).services["trips_v1"]


def _keys(feature_set: FeatureSet, columns: dict[str, list[Any]]) -> list[RowKey]:
    return keys_of(columns, feature_set, max_rows=_MAX_ROWS, max_key_bytes=8, request_names=frozenset({"session_mins"}))


def test_keys_have_the_order_of_the_columns_whatever_that_of_the_caller(trips: FeatureSet) -> None:
    assert _keys(trips, {"shop_id": [1, 2], "driver_id": [3, 3]}) == [(3, 1), (3, 2)]


@pytest.mark.parametrize(
    ("columns", "reason", "message"),
    [
        ({"shop_id": [1]}, "ENTITY_KEY_MISSING", "The join key driver_id is missing; it takes Int64, a whole number"),
        ({}, "ENTITY_KEY_MISSING", "The join key driver_id is missing"),
        ({"driver_id": [1], "shop_id": [1], "x": [1]}, "ENTITY_KEY_UNKNOWN", "key 'x'; they depend on driver_id, shop"),
        (
            {"driver_id": [1], "shop_id": [1], "session_mins": [1]},
            "REQUEST_DATA_UNKNOWN",
            "do not depend on the request data 'session_mins'",
        ),
        ({"driver_id": [1], "shop_id": [1, 2]}, "COLUMNS_RAGGED", "there are 1 of driver_id, 2 of shop_id"),
        ({"driver_id": [], "shop_id": []}, "ROWS_EMPTY", "There are no rows"),
        ({"driver_id": [1] * 6, "shop_id": [1] * 6}, "ROWS_TOO_MANY", "There are 6 rows, and a call takes 5"),
        (
            {"driver_id": [1, True], "shop_id": [1, 1]},
            "ENTITY_KEY_INVALID",
            "The join key driver_id takes Int64, a whole number from -9223372036854775808 to 922337203685477580",
        ),
    ],
)
def test_columns_that_name_no_rows_are_refused(
    trips: FeatureSet, columns: dict[str, list[Any]], reason: str, message: str
) -> None:
    with pytest.raises(GatewayError) as raised:
        _keys(trips, columns)
    assert raised.value.reason == ErrorReason.Value(f"ERROR_REASON_{reason}")
    assert message in raised.value.message


def _checked(dtype: str, value: Any, *, kind: ColumnKind = ColumnKind.JOIN_KEY) -> Any:
    return checked(value, Column("c", dtype, None, kind), 0, max_key_bytes=8)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("Int32", 2**31),
        ("Int32", -(2**31) - 1),
        ("Int64", 2**63),
        ("Int64", 1.0),
        ("Int64", "1"),
        ("Int64", True),
        ("Int64", None),
        ("Int64", b"1"),
        ("String", 1),
        ("String", None),
        ("String", b"a"),
        ("String", "123456789"),
        ("String", "\udcff"),
    ],
)
def test_a_join_key_of_another_type_or_out_of_range_is_refused(dtype: str, value: Any) -> None:
    with pytest.raises(GatewayError, match=f"c takes {dtype}, ") as raised:
        _checked(dtype, value)
    assert raised.value.reason == ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID
    assert raised.value.metadata["join_key"] == "c"


def test_a_refusal_has_not_the_value() -> None:
    for value in ("SECRET IS LONG", b"SECRET", {"SECRET": 1}):
        with pytest.raises(GatewayError) as raised:
            _checked("String", value)
        assert "SECRET" not in f"{raised.value.message} {raised.value.metadata} {raised.value.field}"


@pytest.mark.parametrize(
    ("dtype", "value", "typed"),
    [
        ("Float64", 1, 1.0),
        ("Float64", 1.5, 1.5),
        ("Float32", 3, 3.0),
        ("Bool", True, True),
        ("String", "a text that is longer than a key", "a text that is longer than a key"),
        ("List(Float64)", [1, 2.5], (1.0, 2.5)),
        ("List(Int64)", (1, 2), (1, 2)),
        ("List(String)", ["a"], ("a",)),
    ],
)
def test_request_data_get_the_type_of_their_column(dtype: str, value: Any, typed: Any) -> None:
    found = _checked(dtype, value, kind=ColumnKind.REQUEST_DATA)
    assert found == typed
    assert repr(found) == repr(typed)


def test_minus_zero_is_the_same_row_as_zero() -> None:
    assert repr(_checked("Float64", -0.0, kind=ColumnKind.REQUEST_DATA)) == "0.0"


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("Float64", True),
        ("Float64", "1"),
        ("Float64", float("nan")),
        ("Float64", float("inf")),
        ("Float64", 10**400),
        ("Float32", 1e39),
        ("Bool", 1),
        ("List(Int64)", []),
        ("List(Int64)", [1, True]),
        ("List(Int64)", "12"),
        ("List(Float64)", [1.0, None]),
    ],
)
def test_request_data_of_another_type_are_refused(dtype: str, value: Any) -> None:
    with pytest.raises(GatewayError) as raised:
        _checked(dtype, value, kind=ColumnKind.REQUEST_DATA)
    assert raised.value.reason == ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID
    assert raised.value.metadata["name"] == "c"
