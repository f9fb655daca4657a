"""Replies joined from encoded values are those that protobuf makes of filled messages."""

from datetime import timedelta
from typing import Any

import pytest
from feature_gateway.contract.columns import Column, ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.grpc_api.feast_reply import reply_of
from feature_gateway.grpc_api.feast_request import FeastQuestion
from feature_gateway.grpc_api.user_reply import batch_response_of, response_of
from feature_gateway.lookup.query import RowFailure, UserFailure, UserFeatures
from feature_gateway.reads import ReadReport, Served
from feature_gateway.values import EncodedValue, FeatureStatus, Judgement, Row
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow.features.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
)
from streamflow.features.feast.types.Value_pb2 import Value
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesResponse, GetUserFeaturesResponse

_NS = 1_000_000_000
_HASH = "sha256:" + "0" * 64

_FLOATS = st.floats(width=32, allow_nan=False)
_TIMES = st.integers(-(2**63) // _NS + 1, 2**63 // _NS - 1)
_JSON: dict[str, st.SearchStrategy[Any]] = {
    "Bool": st.booleans(),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float32": _FLOATS,
    "Float64": st.floats(allow_nan=False),
    "String": st.text() | st.text(min_size=120, max_size=140),
    "UnixTimestamp": _TIMES,
}
_JSON |= {f"List({of})": st.lists(elements, max_size=20) for of, elements in _JSON.items()}

_FEATURES = tuple(ContractFeature(f"f{at}", "v", f"f{at}", dtype, None) for at, dtype in enumerate(_JSON))
_SET = FeatureSet(_FEATURES, (Column("user_id", "String", None, ColumnKind.JOIN_KEY),))
_STAMPS = st.none() | st.integers(-62_135_596_800 * _NS, 253_402_300_799 * _NS)


def _encoded(dtype: str) -> st.SearchStrategy[EncodedValue]:
    return st.none() | _JSON[dtype].map(DTYPES[dtype].from_feast_json)


_JUDGEMENTS = st.builds(
    Judgement,
    st.tuples(*[st.sampled_from(FeatureStatus)] * len(_FEATURES)),
    st.tuples(*[_STAMPS] * len(_FEATURES)),
    st.booleans(),
)
_ROWS = st.builds(Row, st.tuples(*map(_encoded, _JSON)), _JUDGEMENTS)


def _fill_stamp(message: Any, stamp_ns: int) -> None:
    message.seconds, message.nanos = divmod(stamp_ns, _NS)


def _filled(user_id: str, row: Row) -> feature_pb2.UserFeatures:
    """A user's features, field by field."""
    message = feature_pb2.UserFeatures(user_id=user_id, user_known=row.judgement.known)
    judged = zip(row.judgement.statuses, row.judgement.event_timestamps_ns, strict=True)
    for feature, value, (status, stamp_ns) in zip(_FEATURES, row.values, judged, strict=True):
        entry = message.features.add(name=feature.name, status=status)
        if stamp_ns is not None:
            _fill_stamp(entry.event_timestamp, stamp_ns)
        if value is None:
            continue
        dtype = DTYPES[feature.dtype]
        content = getattr(Value.FromString(value), dtype.feast_field)
        if feature.dtype == "UnixTimestamp":
            _fill_stamp(entry.timestamp_value, content * _NS)
        elif feature.dtype.startswith("List"):
            getattr(entry, dtype.proto_field).SetInParent()
            getattr(entry, dtype.proto_field).val.extend(content.val)
        else:
            setattr(entry, dtype.proto_field, content)
    return message


def _answer(user_id: str, row: Row, *, stale_age_s: float | None = None) -> UserFeatures:
    served = Served(row, 0.25, 0.5, 7, ReadReport(retried=True), stale_age_s=stale_age_s)
    return UserFeatures(user_id, _SET, row, _HASH, served, 0.75)


@given(row=_ROWS, user_id=st.text(min_size=1), stale_age_s=st.none() | st.integers(0, 10**6), info=st.booleans())
@settings(max_examples=40)
def test_a_reply_is_what_protobuf_would_write(row: Row, user_id: str, stale_age_s: int | None, *, info: bool) -> None:
    reply = GetUserFeaturesResponse.FromString(
        response_of(_answer(user_id, row, stale_age_s=stale_age_s), serving_info=info)
    )
    expected = GetUserFeaturesResponse(user_features=_filled(user_id, row), contract_hash=_HASH)
    if stale_age_s is not None:
        expected.stale_age.FromTimedelta(timedelta(seconds=stale_age_s))
    if info:
        expected.serving_info.MergeFrom(reply.serving_info)
        assert (reply.serving_info.batch_size, reply.serving_info.retried) == (7, True)
        assert reply.serving_info.gateway_time.ToMilliseconds() == 750
    assert reply == expected


@given(rows=st.lists(_ROWS | st.none(), max_size=4), stale_age_s=st.none() | st.integers(0, 9), info=st.booleans())
@settings(max_examples=40)
def test_a_batch_is_what_protobuf_would_write(rows: list[Row | None], stale_age_s: int | None, *, info: bool) -> None:
    error = WrongValueError("not a number")
    answers = [
        UserFailure(str(at), error) if row is None else _answer(str(at), row, stale_age_s=stale_age_s)
        for at, row in enumerate(rows)
    ]
    reply = BatchGetUserFeaturesResponse.FromString(batch_response_of(answers, _HASH, serving_info=info))
    expected = BatchGetUserFeaturesResponse(contract_hash=_HASH)
    for at, row in enumerate(rows):
        result = expected.results.add(user_id=str(at))
        if row is None:
            result.error.code, result.error.reason, result.error.message = 13, error.reason, error.message
            continue
        result.user_features.CopyFrom(_filled(str(at), row))
        if stale_age_s is not None:
            result.stale_age.FromTimedelta(timedelta(seconds=stale_age_s))
    if info and any(rows):
        assert reply.serving_info.batch_size == 7
        expected.serving_info.MergeFrom(reply.serving_info)
    assert reply == expected


def _request(count: int, *, full_names: bool) -> GetOnlineFeaturesRequest:
    request = GetOnlineFeaturesRequest(feature_service="s", full_feature_names=full_names)
    for at in range(count):
        request.entities["user_id"].val.add(string_val=f"user {at}")
    return request


def _question(request: GetOnlineFeaturesRequest) -> FeastQuestion:
    encoded = request.entities["user_id"].SerializeToString()
    return FeastQuestion(_SET, request.full_feature_names, {}, lambda _: encoded)


@given(rows=st.lists(_ROWS, min_size=1, max_size=4), shared=st.booleans(), full_names=st.booleans())
@settings(max_examples=40)
def test_feasts_reply_has_the_stored_values_and_is_what_protobuf_would_write(
    rows: list[Row], *, shared: bool, full_names: bool
) -> None:
    if shared:
        rows = [Row(row.values, rows[0].judgement) for row in rows]
    request = _request(len(rows), full_names=full_names)
    reply = GetOnlineFeaturesResponse.FromString(reply_of(_question(request), rows))
    expected = GetOnlineFeaturesResponse()
    expected.metadata.feature_names.val.append("user_id")
    keys = expected.results.add(values=request.entities["user_id"].val, statuses=[1] * len(rows))
    for _ in rows:
        keys.event_timestamps.add()
    for at, feature in enumerate(_FEATURES):
        expected.metadata.feature_names.val.append(feature.full_name if full_names else feature.feature)
        column = expected.results.add()
        for row in rows:
            column.values.append(Value.FromString(row.values[at] or b""))
            column.statuses.append(FieldStatus.ValueType(row.judgement.statuses[at]))
            _fill_stamp(column.event_timestamps.add(), row.judgement.event_timestamps_ns[at] or 0)
    assert reply == expected


def test_the_error_of_one_row_is_that_of_feasts_reply() -> None:
    with pytest.raises(GatewayError, match="Row 0: not a number"):
        reply_of(_question(_request(1, full_names=False)), [RowFailure(WrongValueError("not a number"))])
