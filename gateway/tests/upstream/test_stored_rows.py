"""Rows as an online store has them are judged by the truth table, and what is damaged is its row's error alone."""

from typing import Any

import pytest
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.grpc_api.user_reply import response_of
from feature_gateway.lookup.query import UserFeatures
from feature_gateway.reads import ReadReport, Served
from feature_gateway.upstream.stored_rows import rows_of
from feature_gateway.values import FeatureStatus, Judgement, Row
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from row_fakes import values_of
from streamflow.features.feast.types import Value_pb2
from streamflow.features.feast.types.Value_pb2 import Value
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesResponse

_REAL_S = 1_709_164_800
_REAL_NS = _REAL_S * 1_000_000_000
_REAL = Timestamp(seconds=_REAL_S).SerializeToString()
_P, _N, _F = FeatureStatus.PRESENT, FeatureStatus.NULL_VALUE, FeatureStatus.NOT_FOUND

# A stored value of each type, as Feast writes it.
_STORED: dict[str, Value] = {
    "Bool": Value(bool_val=False),
    "Int32": Value(int32_val=-(2**31)),
    "Int64": Value(int64_val=2**63 - 1),
    "Float32": Value(float_val=0.1),
    "Float64": Value(double_val=24.725258074861507),
    "String": Value(string_val="naïve 名" * 40),
    "Bytes": Value(bytes_val=b"\x00\xff"),
    "UnixTimestamp": Value(unix_timestamp_val=-1),
    "List(Bool)": Value(bool_list_val=Value_pb2.BoolList(val=[True, False])),
    "List(Int32)": Value(int32_list_val=Value_pb2.Int32List(val=[-1, 2**31 - 1])),
    "List(Int64)": Value(int64_list_val=Value_pb2.Int64List(val=[-(2**63)])),
    "List(Float32)": Value(float_list_val=Value_pb2.FloatList(val=[0.5] * 768)),
    "List(Float64)": Value(double_list_val=Value_pb2.DoubleList(val=[0.1])),
    "List(String)": Value(string_list_val=Value_pb2.StringList(val=["", "名"])),
    "List(Bytes)": Value(bytes_list_val=Value_pb2.BytesList(val=[b"\xff"])),
    "List(UnixTimestamp)": Value(unix_timestamp_list_val=Value_pb2.Int64List(val=[-(2**63), 0])),
}


def _set(*features: tuple[str, str]) -> FeatureSet:
    return FeatureSet(
        tuple(ContractFeature(f"f{at}", view, f"f{at}", dtype, None) for at, (view, dtype) in enumerate(features)), ()
    )


def _row(feature_set: FeatureSet, *cells: bytes | None) -> Row:
    views = [*dict.fromkeys(feature.view for feature in feature_set.features)]
    (row,) = rows_of(views, [cells], feature_set)
    assert isinstance(row, Row)
    return row


def _is_mismatch(error: GatewayError) -> bool:
    return error.reason == ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH


def test_every_type_has_a_case() -> None:
    assert _STORED.keys() == DTYPES.keys()


@pytest.mark.parametrize("dtype", _STORED)
def test_a_value_of_each_type_is_kept_as_it_is_stored(dtype: str) -> None:
    stored = _STORED[dtype].SerializeToString()
    row = _row(_set(("v", dtype)), _REAL, stored)
    assert row == Row((stored,), Judgement((_P,), (_REAL_NS,), known=True))


@pytest.mark.parametrize("dtype", _STORED)
@pytest.mark.parametrize("null", [None, b"", b"\x98\x01\x00"])
def test_what_feast_means_by_null_is_null_beside_a_row_with_a_value(dtype: str, null: bytes | None) -> None:
    stored = _STORED[dtype].SerializeToString()
    rows = rows_of(["v"], [(_REAL, null), (_REAL, stored)], _set(("v", dtype)))
    judgements = [Judgement((status,), (_REAL_NS,), known=True) for status in (_N, _P)]
    assert rows == [Row((None,), judgements[0]), Row((stored,), judgements[1])]


def test_a_null_time_is_null() -> None:
    stored = Value(unix_timestamp_val=-(2**63)).SerializeToString()
    assert _row(_set(("v", "UnixTimestamp")), _REAL, stored).values == (None,)


@pytest.mark.parametrize(
    ("value", "stamp", "status", "stamp_ns", "known"),
    [
        (1, _REAL, _P, _REAL_NS, True),
        (None, _REAL, _N, _REAL_NS, True),
        (None, None, _F, None, False),
        (None, b"", _F, None, False),
        (1, None, _P, None, True),
        (1, Timestamp(seconds=-1, nanos=5).SerializeToString(), _P, -999_999_995, True),
    ],
)
def test_the_truth_table(
    value: int | None, stamp: bytes | None, status: FeatureStatus, stamp_ns: int | None, *, known: bool
) -> None:
    stored = None if value is None else Value(int64_val=value).SerializeToString()
    row = _row(_set(("v", "Int64")), stamp, stored)
    assert values_of(row) == (value,)
    assert row.judgement == Judgement((status,), (stamp_ns,), known)


def test_rows_of_the_same_times_and_nulls_share_a_judgement_and_views_are_judged_apart() -> None:
    feature_set = _set(("a", "Int64"), ("b", "Int64"), ("a", "Int64"))
    one, two = b"\x20\x01", b"\x20\x02"
    rows = rows_of(
        ["b", "a"],
        [(None, _REAL, one, None, one), (_REAL, _REAL, one, two, two), (None, _REAL, two, None, one)],
        feature_set,
    )
    first, second, third = (row for row in rows if isinstance(row, Row))
    assert first.judgement is third.judgement
    assert first.judgement.statuses == (_P, _F, _P)
    assert second.judgement.event_timestamps_ns == (_REAL_NS,) * 3


_DAMAGED: list[tuple[str, bytes]] = [
    ("Bool", b"\x38\x02"),
    ("Bool", b"\x38"),
    ("Int32", b"\x18\x80\x80\x80\x80\x10"),
    ("Int64", b"\x20\x80"),
    ("Int64", b"\x20\x01\x20\x02"),
    ("Int64", b"\x20" + b"\xff" * 10 + b"\x01"),
    ("Int64", b"\x20" + b"\xff" * 9 + b"\x02"),
    ("Float64", b"\x29\x00"),
    ("Float32", b"\x35" + bytes(5)),
    ("String", b"\x12\x02\xff\xff"),
    ("String", b"\x12\x05abc"),
    ("String", b"\x12\x01abc"),
    ("String", b"\x12"),
    ("Bytes", b"\x0a\x02x"),
    ("UnixTimestamp", b"\x40" + b"\xff" * 8 + b"\x7f"),
    ("List(Bool)", b"\x8a\x01"),
    ("List(Int64)", b"\x72\x02\x0a\x05"),
    ("List(String)", b"\x62\x03\x0a\x01\xff"),
    ("List(UnixTimestamp)", b"\x92\x01\x0b\x0a\x09" + b"\xff" * 8 + b"\x7f"),
]


@pytest.mark.parametrize(("dtype", "damaged"), _DAMAGED)
def test_a_damaged_value_is_the_error_of_its_row_alone(dtype: str, damaged: bytes) -> None:
    right = _STORED[dtype].SerializeToString()
    wrong, row = rows_of(["v"], [(_REAL, damaged), (_REAL, right)], _set(("v", dtype)))
    said = f"value of v:f0 is not {dtype} (got damaged bytes)"
    assert isinstance(wrong, WrongValueError)
    assert str(wrong) == f"The feature server's {said}: feature server and gateway are not on the same definitions."
    assert row == Row((right,), Judgement((_P,), (_REAL_NS,), known=True))
    with pytest.raises(WrongValueError):
        rows_of(["v"], [(_REAL, damaged)], _set(("v", dtype)))


@pytest.mark.parametrize("dtype", _STORED)
def test_a_value_of_another_type_is_the_error_of_its_row_and_the_type_is_said(dtype: str) -> None:
    for other, value in _STORED.items():
        if other != dtype:
            with pytest.raises(WrongValueError) as raised:
                _row(_set(("v", dtype)), _REAL, value.SerializeToString())
            assert f"is not {dtype} (got {other})" in str(raised.value)


@pytest.mark.parametrize(
    "stamp",
    [
        *(b"\xff", b"\x08", b"\x08\x80", b"\x12\x01"),
        Timestamp(seconds=2**62).SerializeToString(),
        Timestamp(nanos=-1).SerializeToString(),
        Timestamp(nanos=10**9).SerializeToString(),
    ],
)
def test_a_damaged_timestamp_is_the_error_of_its_row_alone(stamp: bytes) -> None:
    right = b"\x20\x01"
    wrong, row = rows_of(["v"], [(stamp, right), (_REAL, right)], _set(("v", "Int64")))
    assert isinstance(wrong, WrongValueError)
    assert "event timestamp of v is not a time" in str(wrong)
    assert isinstance(row, Row)


@pytest.mark.parametrize(
    ("views", "row"),
    [(["v"], (_REAL,)), (["v"], (_REAL, b"", b"")), (["w"], (_REAL, b"")), ([], (b"",))],
)
def test_rows_of_another_form_are_a_mismatch_of_the_whole_read(views: list[str], row: tuple[bytes, ...]) -> None:
    with pytest.raises(GatewayError, check=_is_mismatch) as raised:
        rows_of(views, [row], _set(("v", "Int64")))
    assert not isinstance(raised.value, WrongValueError)


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    dtype = draw(st.sampled_from(sorted(_STORED)))
    stored = bytearray(draw(st.sampled_from([_STORED[dtype].SerializeToString(), b""])) or draw(st.binary(max_size=12)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(stored) - 1)))
        stored[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return dtype, bytes(stored)


def _same(one: Any, other: Any) -> bool:
    # By their texts: NaN is not equal to itself.
    return repr(one) == repr(other)


@given(_mutated())
@example(("Int64", b"\x20\x01\x20\x02"))
@settings(max_examples=1500)
def test_whatever_the_bytes_are_they_are_an_error_or_a_reply_with_the_value_that_feast_reads(
    case: tuple[str, bytes],
) -> None:
    dtype, stored = case
    feature_set = _set(("v", dtype), ("v", "Int64"))
    try:
        row = _row(feature_set, _REAL, stored, b"\x20\x07")
    except WrongValueError:
        return
    served = Served(row, 0.0, 0.0, 1, ReadReport())
    reply = response_of(UserFeatures("u", feature_set, row, "h", served, 0.0), serving_info=False)
    first, second = GetUserFeaturesResponse.FromString(reply).user_features.features
    assert second.int64_value == 7
    if row.values[0] is None:
        assert first.WhichOneof("value") is None
        return
    kind = DTYPES[dtype]
    read = Value.FromString(stored)
    assert read.WhichOneof("val") == kind.feast_field
    assert first.WhichOneof("value") == kind.proto_field
    content, sent = getattr(read, kind.feast_field), getattr(first, kind.proto_field)
    if dtype == "UnixTimestamp":
        assert sent.ToNanoseconds() == content * 10**9
    else:
        assert _same(sent, content) if not dtype.startswith("List") else _same([*sent.val], [*content.val])


@given(st.lists(_mutated(), min_size=1, max_size=12), st.sampled_from(sorted(_STORED)))
@settings(max_examples=500)
def test_many_rows_at_once_are_what_each_of_them_is_alone(cases: list[tuple[str, bytes]], dtype: str) -> None:
    feature_set = _set(("v", dtype), ("v", "Int64"))
    whole = _STORED[dtype].SerializeToString()
    stored = [None, whole, whole, whole, whole, *(value for of, value in cases if of == dtype or len(value) > 9)]
    together = rows_of(["v"], [(_REAL, value, b"\x20\x07") for value in stored], feature_set)
    for value, row in zip(stored, together, strict=True):
        try:
            alone: Row | WrongValueError = _row(feature_set, _REAL, value, b"\x20\x07")
        except WrongValueError as error:
            alone = error
        assert str(row) == str(alone)


@pytest.mark.parametrize("dtype", _STORED)
def test_a_check_of_a_column_is_that_of_each_of_its_values(dtype: str) -> None:
    whole, kind = _STORED[dtype].SerializeToString(), DTYPES[dtype]
    # Together they are as long, and have the tag in the same places, as two values.
    for others in ([whole], [whole + kind.tag, whole[:-1]], [whole[:-1], kind.tag + whole], [b""], [whole[:-1]]):
        column = [whole, *others, whole]
        assert kind.are_values(column) == all(map(kind.is_value, column))
