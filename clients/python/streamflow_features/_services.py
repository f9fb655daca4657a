"""The contract's descriptions of feature services."""

from dataclasses import dataclass

from streamflow.features.v1 import user_feature_service_pb2


@dataclass(frozen=True, slots=True)
class FeatureDescription:
    """One feature of a feature service."""

    name: str
    """The feature's name in results."""

    feature_reference: str
    """Feast's feature reference, `view:feature`."""

    dtype: str
    """Feast's name of the feature's type: Bool, Int32, Int64, Float32, Float64, String, Bytes or UnixTimestamp.

    A list of one of them is List(Bool), List(Int32) and so on.
    """

    max_age_s: float | None
    """The age in seconds from which values are OUTSIDE_MAX_AGE. None: no maximum age."""


@dataclass(frozen=True, slots=True)
class RequestDataDescription:
    """Request data that a feature service needs."""

    name: str
    """The name in `request_data`."""

    dtype: str
    """Feast's name of the type: Bool, Int32, Int64, Float32, Float64 or String, or a list, such as List(Float64)."""


@dataclass(frozen=True, slots=True)
class FeatureService:
    """A named set of features."""

    name: str
    """The name that calls select it by."""

    features: tuple[FeatureDescription, ...]
    """The features, in the order of results."""

    join_key: str
    """The name of the join key. User ids are values of the join key."""

    contract_hash: str
    """The hash of the gateway's contract."""

    request_data: tuple[RequestDataDescription, ...] = ()
    """The request data that every call for the feature service has to have."""


def feature_service(response: user_feature_service_pb2.GetFeatureServiceResponse) -> FeatureService:
    """Return the feature service of a reply."""
    return _feature_service(response.feature_service, response.join_key, response.contract_hash)


def feature_services(response: user_feature_service_pb2.ListFeatureServicesResponse) -> list[FeatureService]:
    """Return the feature services of a reply, in the order of the reply."""
    return [
        _feature_service(message, response.join_key, response.contract_hash) for message in response.feature_services
    ]


def _feature_service(
    message: user_feature_service_pb2.FeatureService, join_key: str, contract_hash: str
) -> FeatureService:
    features = tuple(
        FeatureDescription(
            name=feature.name,
            feature_reference=feature.feature_reference,
            dtype=feature.dtype,
            max_age_s=feature.max_age.ToTimedelta().total_seconds() if feature.HasField("max_age") else None,
        )
        for feature in message.features
    )
    request_data = tuple(RequestDataDescription(one.name, one.dtype) for one in message.request_data)
    return FeatureService(message.name, features, join_key, contract_hash, request_data)
