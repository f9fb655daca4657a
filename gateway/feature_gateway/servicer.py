"""The gRPC service: request message, lookup, reply message."""

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from streamflow.features.v1 import feature_pb2, user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer

from feature_gateway.errors import MaxAgeInvalidError, StalenessPolicyUnknownError
from feature_gateway.freshness import StalenessPolicy
from feature_gateway.lookup import Lookup, Query, Selection, UserFeatures

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import _ServicerContext

_NS_PER_S = 1_000_000_000
# The bound of google.protobuf.Duration, some 10,000 years.
_MAX_DURATION_S = 315_576_000_000
_VALUE_FIELDS = {
    "Bool": "bool_value",
    "Int32": "int32_value",
    "Int64": "int64_value",
    "Float32": "float_value",
    "Float64": "double_value",
    "String": "string_value",
    "Bytes": "bytes_value",
}


class UserFeatureServicer(UserFeatureServiceServicer):
    """Answers UserFeatureService from a lookup."""

    def __init__(self, lookup: Lookup) -> None:
        """Take what answers."""
        self._lookup = lookup

    async def GetUserFeatures(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.GetUserFeaturesRequest, context: "_ServicerContext"
    ) -> user_feature_service_pb2.GetUserFeaturesResponse:
        """Return one user's features."""
        answer = await self._lookup.user_features(_query(request, context), remaining_s=context.time_remaining())
        response = user_feature_service_pb2.GetUserFeaturesResponse(contract_hash=answer.contract_hash)
        _fill(response.user_features, answer)
        if request.include_serving_info:
            _fill_serving_info(response.serving_info, answer)
        return response


def _query(request: user_feature_service_pb2.GetUserFeaturesRequest, context: "_ServicerContext") -> Query:
    return Query(
        request.user_id,
        _selection(request),
        contract_hash=request.contract_hash,
        max_age_s=_max_age_s(request.max_age) if request.HasField("max_age") else None,
        staleness_policy=_policy(request.staleness_policy),
        principal=_principal(context),
    )


def _principal(context: "_ServicerContext") -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""


def _max_age_s(max_age: Duration) -> float:
    if not 0 <= max_age.seconds <= _MAX_DURATION_S or not 0 <= max_age.nanos < _NS_PER_S:
        raise MaxAgeInvalidError(
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
        raise StalenessPolicyUnknownError(
            f"staleness_policy is {number}; the gateway knows {', '.join(policy.name for policy in StalenessPolicy)}.",
            field="staleness_policy",
        ) from error


def _fill_serving_info(message: user_feature_service_pb2.ServingInfo, answer: UserFeatures) -> None:
    served = answer.served
    message.gateway_time.FromTimedelta(timedelta(seconds=answer.gateway_s))
    message.queue_time.FromTimedelta(timedelta(seconds=served.queue_s))
    message.upstream_time.FromTimedelta(timedelta(seconds=served.upstream_s))
    message.batch_size = served.batch_size
    message.retried = served.report.retried
    message.hedged = served.report.hedged


def _selection(request: user_feature_service_pb2.GetUserFeaturesRequest) -> Selection:
    match request.WhichOneof("selection"):
        case "feature_service":
            return Selection(feature_service=request.feature_service)
        case "feature_references":
            return Selection(references=request.feature_references.references)
        case None:
            return Selection()


def _fill(message: feature_pb2.UserFeatures, answer: UserFeatures) -> None:
    message.user_id = answer.user_id
    row = answer.row
    message.user_known = row.user_known
    for feature, value, status, stamp_ns in zip(
        answer.feature_set.features, row.values, row.statuses, row.event_timestamps_ns, strict=True
    ):
        entry = message.features.add(name=feature.name, status=feature_pb2.FeatureStatus.ValueType(status))
        if stamp_ns is not None:
            entry.event_timestamp.seconds, entry.event_timestamp.nanos = divmod(stamp_ns, _NS_PER_S)
        if value is None:
            continue
        if feature.dtype == "UnixTimestamp" and isinstance(value, int):
            entry.timestamp_value.seconds, entry.timestamp_value.nanos = divmod(value, _NS_PER_S)
        else:
            setattr(entry, _VALUE_FIELDS[feature.dtype], value)
