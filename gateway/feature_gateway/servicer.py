"""The gRPC service: request message, lookup, reply message."""

from typing import TYPE_CHECKING

from streamflow.features.v1 import feature_pb2, user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer

from feature_gateway.lookup import Lookup, Selection, UserFeatures

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import _ServicerContext

_NS_PER_S = 1_000_000_000
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
        answer = await self._lookup.user_features(
            request.user_id, _selection(request), remaining_s=context.time_remaining()
        )
        response = user_feature_service_pb2.GetUserFeaturesResponse(contract_hash=answer.contract_hash)
        _fill(response.user_features, answer)
        return response


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
