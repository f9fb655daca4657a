"""Makes Feast's GetOnlineFeaturesResponse: a column for each join key, then one for each feature; pure."""

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetOnlineFeaturesRequest,
    GetOnlineFeaturesResponse,
)

from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.feast_values import FORMS, Form, add_value
from feature_gateway.lookup.query import RowFailure
from feature_gateway.values import FeatureStatus, Row

_NS_PER_S = 1_000_000_000
# A month's snapshot gives all rows the same timestamps, so few frames are in use at a time.
_MAX_REMEMBERED = 1024

_Statuses = tuple[FeatureStatus, ...]
_Stamps = tuple[int | None, ...]


def reply_of(
    request: GetOnlineFeaturesRequest, feature_set: FeatureSet, answers: Sequence[Row | RowFailure]
) -> GetOnlineFeaturesResponse:
    """Return the reply to a request: rows in the order of the request, features in the order of the feature set.

    Raises the first row's error, if there is one: a reply has no place for it.
    """
    rows = [_row(position, answer) for position, answer in enumerate(answers)]
    full_names = request.full_feature_names
    if len(rows) == 1:
        # Most rows differ only in values, and parsing a frame costs a fraction of setting each field.
        (only,) = rows
        frame = _frame_of_one(feature_set, only.statuses, only.event_timestamps_ns, full_names=full_names)
        reply = GetOnlineFeaturesResponse.FromString(frame)
    else:
        stamps_ns = [row.event_timestamps_ns for row in rows]
        reply = _frame(feature_set, [row.statuses for row in rows], stamps_ns, full_names=full_names)
    results = iter(reply.results)
    for name in _join_keys(feature_set):
        next(results).values.MergeFrom(request.entities[name].val)
    columns, forms = [result.values for result in results], _forms(feature_set)
    for row in rows:
        for column, form, value in zip(columns, forms, row.values, strict=True):
            add_value(column, form, value)
    return reply


def _row(position: int, answer: Row | RowFailure) -> Row:
    if isinstance(answer, RowFailure):
        error = answer.error
        raise GatewayError(error.reason, f"Row {position}: {error.message}", field=error.field, metadata=error.metadata)
    return answer


@lru_cache(maxsize=_MAX_REMEMBERED)
def _frame_of_one(feature_set: FeatureSet, statuses: _Statuses, stamps_ns: _Stamps, *, full_names: bool) -> bytes:
    return _frame(feature_set, [statuses], [stamps_ns], full_names=full_names).SerializeToString()


def _frame(
    feature_set: FeatureSet, statuses: Sequence[_Statuses], stamps_ns: Sequence[_Stamps], *, full_names: bool
) -> GetOnlineFeaturesResponse:
    """Return a reply with all but the values."""
    reply = GetOnlineFeaturesResponse()
    names = reply.metadata.feature_names.val
    for name in _join_keys(feature_set):
        names.append(name)
        result = reply.results.add(statuses=[FieldStatus.PRESENT] * len(statuses))
        result.event_timestamps.extend([_timestamp(None)] * len(statuses))
    names.extend(feature.full_name if full_names else feature.feature for feature in feature_set.features)
    for of_feature, of_stamp in zip(zip(*statuses, strict=True), zip(*stamps_ns, strict=True), strict=True):
        result = reply.results.add()
        # The numbers of the statuses are Feast's.
        result.statuses.extend(of_feature)
        result.event_timestamps.extend(map(_timestamp, of_stamp))
    return reply


@lru_cache(maxsize=_MAX_REMEMBERED)
def _timestamp(stamp_ns: int | None) -> Timestamp:
    """Return an event timestamp; the epoch for none."""
    seconds, nanos = divmod(stamp_ns or 0, _NS_PER_S)
    # As a field: protobuf's own Timestamp is of another descriptor pool.
    return GetOnlineFeaturesResponse.FeatureVector().event_timestamps.add(seconds=seconds, nanos=nanos)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _join_keys(feature_set: FeatureSet) -> list[str]:
    """Return the names of the join keys, sorted: a request's columns have no order."""
    return sorted(column.name for column in feature_set.columns if column.kind is ColumnKind.JOIN_KEY)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _forms(feature_set: FeatureSet) -> list[Form]:
    return [FORMS[feature.dtype] for feature in feature_set.features]
