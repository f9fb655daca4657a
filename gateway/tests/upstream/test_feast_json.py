"""Feast's columns become typed values with true statuses, or are refused."""

import math
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.upstream.feast_json import parse_rows, request_body
from feature_gateway.values import FeatureStatus, Judgement, Row
from hypothesis import given
from hypothesis import strategies as st
from row_fakes import values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_REAL = "2024-02-29T00:00:00Z"
_REAL_NS = 1_709_164_800_000_000_000
_EPOCH = "1970-01-01T00:00:00Z"

_COLUMN = Column("user_id", "String", None, ColumnKind.JOIN_KEY)


def _is_mismatch(error: GatewayError) -> bool:
    return error.reason == ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH


def _set(*features: tuple[str, str, str]) -> FeatureSet:
    return FeatureSet(
        tuple(ContractFeature(name, view, name, dtype, None) for view, name, dtype in features), (_COLUMN,)
    )


def _body(columns: Mapping[str, tuple[Any, list[str]]]) -> bytes:
    return orjson.dumps(
        {
            "metadata": {"feature_names": list(columns)},
            "results": [
                {"values": values, "statuses": ["PRESENT"] * len(values), "event_timestamps": stamps}
                for values, stamps in columns.values()
            ],
        }
    )


def _one(dtype: str, value: Any, stamp: str = _REAL) -> Row:
    (row,) = _rows(_body({"v__f": ([value], [stamp])}), _set(("v", "f", dtype)), 1)
    return row


def _rows(body: bytes, feature_set: FeatureSet, row_count: int) -> list[Row]:
    rows = parse_rows(body, feature_set, row_count)
    assert [type(row) for row in rows] == [Row] * row_count
    return [row for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize(
    ("dtype", "json_value", "value"),
    [
        ("Bool", True, True),
        ("Bool", False, False),
        ("Int32", -(2**31), -(2**31)),
        ("Int64", 2**63 - 1, 2**63 - 1),
        ("Int64", -(2**63), -(2**63)),
        ("Float32", 0.10000000149011612, 0.10000000149011612),
        ("Float64", 24.725258074861507, 24.725258074861507),
        ("Float64", 30, 30.0),
        ("Float64", "Infinity", math.inf),
        ("Float64", "-Infinity", -math.inf),
        ("String", "NaN", "NaN"),
        ("String", "", ""),
        ("Bytes", "AP8=", b"\x00\xff"),
        ("UnixTimestamp", 1_709_164_800, 1_709_164_800),
    ],
)
def test_a_value_gets_back_the_type_that_json_lost(dtype: str, json_value: Any, value: object) -> None:
    row = _one(dtype, json_value)
    assert values_of(row) == (value,)
    assert type(values_of(row)[0]) is type(value)
    assert row.judgement.statuses == (FeatureStatus.PRESENT,)


def test_nan_is_a_number_again() -> None:
    (value,) = values_of(_one("Float64", "NaN"))
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("dtype", "json_value"),
    [
        ("Bool", 1),
        ("Bool", "True"),
        ("Int32", 2**31),
        ("Int64", True),
        ("Int64", 1.0),
        ("Int64", "1"),
        ("Float64", True),
        ("Float64", "1.0"),
        ("String", 1),
        ("Bytes", "not base64!"),
        ("UnixTimestamp", "2024-02-29"),
    ],
)
def test_a_value_of_another_type_is_a_mismatch(dtype: str, json_value: Any) -> None:
    with pytest.raises(GatewayError, match=rf"v:f is not {dtype}", check=_is_mismatch):
        _one(dtype, json_value)


@pytest.mark.parametrize(
    ("value", "stamp", "status", "stamp_ns", "known"),
    [
        (1, _REAL, FeatureStatus.PRESENT, _REAL_NS, True),
        (None, _REAL, FeatureStatus.NULL_VALUE, _REAL_NS, True),
        (None, _EPOCH, FeatureStatus.NOT_FOUND, None, False),
        # A value is there, so the row is; its store keeps no time.
        (1, _EPOCH, FeatureStatus.PRESENT, None, True),
    ],
)
def test_the_truth_table(
    value: int | None, stamp: str, status: FeatureStatus, stamp_ns: int | None, *, known: bool
) -> None:
    row = _one("Int64", value, stamp)
    assert values_of(row) == (value,)
    assert row.judgement == Judgement((status,), (stamp_ns,), known)


def test_a_view_knows_a_user_as_a_whole_or_not_at_all() -> None:
    features = _set(("a", "x", "Int64"), ("b", "y", "Int64"), ("a", "z", "Int64"), ("b", "w", "Int64"))
    columns = {
        "a__x": ([None], [_EPOCH]),
        "b__y": ([None], [_REAL]),
        "a__z": ([None], [_EPOCH]),
        "b__w": ([2], [_REAL]),
    }
    (row,) = _rows(_body(columns), features, 1)
    assert [status.name for status in row.judgement.statuses] == ["NOT_FOUND", "NULL_VALUE", "NOT_FOUND", "PRESENT"]
    assert row.judgement.known


def test_a_null_at_the_epoch_beside_a_value_of_its_view_is_a_null_value() -> None:
    features = _set(("a", "x", "Int64"), ("a", "z", "Int64"))
    (row,) = _rows(_body({"a__x": ([None], [_EPOCH]), "a__z": ([3], [_EPOCH])}), features, 1)
    assert [status.name for status in row.judgement.statuses] == ["NULL_VALUE", "PRESENT"]


def test_columns_are_taken_by_name_and_rows_by_position() -> None:
    features = _set(("a", "x", "Int64"), ("b", "y", "String"))
    columns = {
        "b__y": (["p", None], [_REAL, _EPOCH]),
        "user_id": (["1", "2"], [_EPOCH] * 2),
        "a__x": ([1, 2], [_REAL] * 2),
    }
    first, second = _rows(_body(columns), features, 2)
    assert values_of(first) == (1, "p")
    assert values_of(second) == (2, None)
    assert second.judgement.statuses == (FeatureStatus.PRESENT, FeatureStatus.NOT_FOUND)


@pytest.mark.parametrize(
    ("stamp", "stamp_ns"),
    [
        ("2024-02-29T00:00:00.5Z", _REAL_NS + 500_000_000),
        ("2024-02-29T00:00:00.123456Z", _REAL_NS + 123_456_000),
        ("2024-02-29T00:00:00.123456789Z", _REAL_NS + 123_456_789),
        ("1969-12-31T23:59:59Z", -1_000_000_000),
    ],
)
def test_event_timestamps_keep_their_fractions(stamp: str, stamp_ns: int) -> None:
    assert _one("Int64", 1, stamp).judgement.event_timestamps_ns == (stamp_ns,)


@pytest.mark.parametrize("values", [[], [1], [1, 2, 3]])
def test_a_column_of_another_length_is_a_mismatch(values: list[int]) -> None:
    with pytest.raises(GatewayError, match="for 2 rows", check=_is_mismatch):
        parse_rows(_body({"v__f": (values, [_REAL] * len(values))}), _set(("v", "f", "Int64")), 2)


def test_a_request_lists_references_and_asks_for_full_names() -> None:
    assert orjson.loads(request_body(_set(("v", "f", "Int64")), [("1",), ("2",)])) == {
        "features": ["v:f"],
        "entities": {"user_id": ["1", "2"]},
        "full_feature_names": True,
    }


@pytest.mark.parametrize(
    ("values", "stamps", "said"),
    [
        (["SECRET", 2], [_REAL, _REAL], "value of v:f is not Int32 (got str)"),
        ([2**40, 2], [_REAL, _REAL], "value of v:f is not Int32 (got int)"),
        ([["SECRET"], 2], [_REAL, _REAL], "value of v:f is not Int32 (got list of str)"),
        ([[], 2], [_REAL, _REAL], "value of v:f is not Int32 (got empty list)"),
        ([1, 2], ["SECRET", _REAL], "event timestamp of v:f is not a time"),
        ([1, 2], ["2024-13-01T00:00:00Z", _REAL], "event timestamp of v:f is not a time"),
        ([1, 2], [None, _REAL], "event timestamp of v:f is not a time"),
        ([1, 2], [{"SECRET": 1}, _REAL], "event timestamp of v:f is not a time"),
    ],
)
def test_a_wrong_value_is_the_error_of_its_user_alone_and_in_no_text(
    values: list[Any], stamps: list[Any], said: str
) -> None:
    features = _set(("v", "f", "Int32"), ("v", "g", "String"))
    wrong, right = parse_rows(_body({"v__f": (values, stamps), "v__g": (["a", "b"], [_REAL] * 2)}), features, 2)
    assert isinstance(wrong, WrongValueError)
    assert str(wrong) == f"The feature server's {said}: feature server and gateway are not on the same definitions."
    assert wrong.__cause__ is None
    assert isinstance(right, Row)
    assert values_of(right) == (2, "b")
    assert right.judgement == Judgement((FeatureStatus.PRESENT,) * 2, (_REAL_NS,) * 2, known=True)


@pytest.mark.parametrize(
    "answer",
    [
        b'"SECRET"',
        b'{"metadata": "SECRET"}',
        b'{"metadata": {"feature_names": ["SECRET"]}, "results": []}',
        b'{"metadata": {"feature_names": ["SECRET"]}, "results": ["SECRET"]}',
        b'{"metadata": {"feature_names": [{"SECRET": 1}]}, "results": [1]}',
        b'{"metadata": {"feature_names": ["v__f"]}, "results": ["SECRET"]}',
        b'{"metadata": {"feature_names": ["v__f"]}, "results": [["SECRET"]]}',
        b'{"metadata": {"feature_names": ["v__f"]}, "results": [{"values": "SECRET", "event_timestamps": []}]}',
        b'{"metadata": {"feature_names": ["v__f"]}, "results": [{"values": {"S": 1}, "event_timestamps": {"S": 1}}]}',
        b'["SECRET',
    ],
)
def test_an_answer_of_another_form_is_a_mismatch_that_shows_nothing_of_it(answer: bytes) -> None:
    with pytest.raises(GatewayError, check=_is_mismatch) as raised:
        parse_rows(answer, _set(("v", "f", "Int64")), 1)
    assert not isinstance(raised.value, WrongValueError)
    assert "SECRET" not in f"{raised.value} {raised.value.__cause__}"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=5,
)


@given(values=st.lists(_JSON, min_size=3, max_size=3), dtype=st.sampled_from(sorted(DTYPES)), bad=st.integers(0, 2))
def test_whatever_a_users_value_is_the_others_get_what_they_get_alone(values: list[Any], dtype: str, bad: int) -> None:
    def read(*positions: int) -> list[str]:
        stamps = ["SECRET" if position == bad else _REAL for position in positions]
        body = _body({"v__f": ([values[position] for position in positions], stamps)})
        try:
            return [f"{row!r} {row}" for row in parse_rows(body, _set(("v", "f", dtype)), len(positions))]
        except WrongValueError as error:
            return [f"{error!r} {error}"]

    together = read(0, 1, 2)
    assert together == [text for position in range(3) for text in read(position)]
    assert "SECRET" not in together[bad]
