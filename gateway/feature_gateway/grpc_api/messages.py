"""Converts between the API's messages and the gateway's own types; pure."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import Caller
from feature_gateway.contract.columns import ColumnKind
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.request_values import python_values
from feature_gateway.lookup.freshness import StalenessPolicy
from feature_gateway.lookup.query import Query, Selection, UserFeatures

AnyRequest = user_feature_service_pb2.GetUserFeaturesRequest | user_feature_service_pb2.BatchGetUserFeaturesRequest

_NS_PER_S = 1_000_000_000
# The bound of google.protobuf.Duration, some 10,000 years.
_MAX_DURATION_S = 315_576_000_000


def query_of(request: AnyRequest, *, caller: Caller) -> Query:
    """Return what a caller's request asks; raise GatewayError when it is malformed."""
    return Query(
        _selection(request),
        contract_hash=request.contract_hash,
        max_age_s=_max_age_s(request.max_age) if request.HasField("max_age") else None,
        staleness_policy=_policy(request.staleness_policy),
        caller=caller,
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
