"""Converts between the API's messages and the gateway's own types; pure."""

from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from streamflow.features.v1 import feature_pb2, user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import DTYPES
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.request_values import python_values
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.lookup.query import Query, Selection, UserFailure, UserFeatures
from feature_gateway.values import FeatureStatus

AnyRequest = user_feature_service_pb2.GetUserFeaturesRequest | user_feature_service_pb2.BatchGetUserFeaturesRequest

_NS_PER_S = 1_000_000_000
# The bound of google.protobuf.Duration, some 10,000 years.
_MAX_DURATION_S = 315_576_000_000
# A month's snapshot gives all users the same timestamps, so few frames are in use at a time.
_MAX_REMEMBERED = 1024


def query_of(request: AnyRequest, *, authorization: str) -> Query:
    """Return what a request asks; raise GatewayError when it is malformed."""
    return Query(
        _selection(request),
        contract_hash=request.contract_hash,
        max_age_s=_max_age_s(request.max_age) if request.HasField("max_age") else None,
        staleness_policy=_policy(request.staleness_policy),
        authorization=authorization,
        request_data=python_values(request.request_data) if request.request_data else None,
    )


def timeout_s_of(timeout: Duration) -> float:
    """Return a message's timeout in seconds; raise GatewayError (TIMEOUT_INVALID)."""
    if not _in_range(timeout) or (timeout.seconds, timeout.nanos) == (0, 0):
        raise GatewayError(
            ErrorReason.ERROR_REASON_TIMEOUT_INVALID,
            f"timeout is {timeout.seconds} s and {timeout.nanos} ns; it takes from 1 ns to {_MAX_DURATION_S} s.",
            field="timeout",
        )
    return timeout.seconds + timeout.nanos / _NS_PER_S


def fill_response(
    response: user_feature_service_pb2.GetUserFeaturesResponse, answer: UserFeatures, *, serving_info: bool
) -> None:
    """Write an answer into a reply."""
    response.contract_hash = answer.contract_hash
    _fill_user_features(response.user_features, answer)
    if answer.served.stale_age_s is not None:
        response.stale_age.FromTimedelta(timedelta(seconds=answer.served.stale_age_s))
    if serving_info:
        fill_serving_info(response.serving_info, [answer])


def fill_result(result: user_feature_service_pb2.UserResult, answer: UserFeatures | UserFailure) -> None:
    """Write one user's answer into a batch's result."""
    result.user_id = answer.user_id
    if isinstance(answer, UserFailure):
        fill_error(result.error, answer.error)
    else:
        _fill_user_features(result.user_features, answer)
        if answer.served.stale_age_s is not None:
            result.stale_age.FromTimedelta(timedelta(seconds=answer.served.stale_age_s))


def fill_error(message: user_feature_service_pb2.CallError, error: GatewayError) -> None:
    """Write an error into a part of a reply, with what the status of a separate call would have."""
    message.code = code_pb2.Code.Value(error.code.name)
    message.reason = error.reason
    message.message = error.message
    message.metadata.update(error.metadata)
    if error.retry_after_s is not None:
        message.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))


def fill_serving_info(message: user_feature_service_pb2.ServingInfo, answers: list[UserFeatures]) -> None:
    """Write how answers were served: the maximum of each time and size, and whether any was retried or hedged."""
    served = [answer.served for answer in answers]
    message.gateway_time.FromTimedelta(timedelta(seconds=max(answer.gateway_s for answer in answers)))
    message.queue_time.FromTimedelta(timedelta(seconds=max(one.queue_s for one in served)))
    message.upstream_time.FromTimedelta(timedelta(seconds=max(one.upstream_s for one in served)))
    message.batch_size = max(one.batch_size for one in served)
    message.retried = any(one.report.retried for one in served)
    message.hedged = any(one.report.hedged for one in served)


def fill_feature_service(message: user_feature_service_pb2.FeatureService, name: str, feature_set: FeatureSet) -> None:
    """Write what the contract says of a feature service."""
    message.name = name
    for feature in feature_set.features:
        entry = message.features.add(name=feature.name, feature_reference=feature.reference, dtype=feature.dtype)
        if feature.max_age_s is not None:
            entry.max_age.FromTimedelta(timedelta(seconds=feature.max_age_s))
    for column in feature_set.columns:
        if column.kind is ColumnKind.REQUEST_DATA:
            message.request_data.add(name=column.name, dtype=column.dtype)


def _selection(request: AnyRequest) -> Selection:
    match request.WhichOneof("selection"):
        case "feature_service":
            return Selection(feature_service=request.feature_service)
        case "feature_references":
            return Selection(references=request.feature_references.references)
        case None:
            return Selection()


def _in_range(duration: Duration) -> bool:
    return 0 <= duration.seconds <= _MAX_DURATION_S and 0 <= duration.nanos < _NS_PER_S


def _max_age_s(max_age: Duration) -> float:
    if not _in_range(max_age):
        raise GatewayError(
            ErrorReason.ERROR_REASON_MAX_AGE_INVALID,
            f"max_age is {max_age.seconds} s and {max_age.nanos} ns; it takes from 0 to {_MAX_DURATION_S} s.",
            field="max_age",
        )
    return max_age.seconds + max_age.nanos / _NS_PER_S


def _policy(number: int) -> StalenessPolicy:
    if number == user_feature_service_pb2.STALENESS_POLICY_UNSPECIFIED:
        return StalenessPolicy.FLAG
    try:
        return StalenessPolicy(number)
    except ValueError as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_STALENESS_POLICY_UNKNOWN,
            f"staleness_policy is {number}; the gateway knows {', '.join(policy.name for policy in StalenessPolicy)}.",
            field="staleness_policy",
        ) from error


def _fill_user_features(message: feature_pb2.UserFeatures, answer: UserFeatures) -> None:
    row = answer.row
    # Most users differ only in values, and parsing a frame costs a fraction of setting each field.
    message.MergeFromString(_frame(answer.feature_set, row.statuses, row.event_timestamps_ns))
    message.user_id = answer.user_id
    message.user_known = row.known
    for entry, (field, fill), value in zip(message.features, _fields(answer.feature_set), row.values, strict=True):
        if value is None:
            continue
        if fill is None:
            setattr(entry, field, value)
        else:
            fill(getattr(entry, field), value)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _frame(feature_set: FeatureSet, statuses: tuple[FeatureStatus, ...], stamps_ns: tuple[int | None, ...]) -> bytes:
    """Return a UserFeatures, serialized, with all of the features but their values."""
    message = feature_pb2.UserFeatures()
    for feature, status, stamp_ns in zip(feature_set.features, statuses, stamps_ns, strict=True):
        entry = message.features.add(name=feature.name, status=feature_pb2.FeatureStatus.ValueType(status))
        if stamp_ns is not None:
            entry.event_timestamp.seconds, entry.event_timestamp.nanos = divmod(stamp_ns, _NS_PER_S)
    return message.SerializeToString()


@lru_cache(maxsize=_MAX_REMEMBERED)
def _fields(feature_set: FeatureSet) -> tuple[tuple[str, Callable[[Any, Any], None] | None], ...]:
    """Return the field of each feature's value, and what writes the value into a field that is a message."""
    dtypes = [DTYPES[feature.dtype] for feature in feature_set.features]
    return tuple((dtype.proto_field, dtype.fill_proto) for dtype in dtypes)
