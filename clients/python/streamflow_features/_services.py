"""What the contract says of feature services."""

from dataclasses import dataclass

from streamflow.features.v1 import user_feature_service_pb2


@dataclass(frozen=True, slots=True)
class FeatureDescription:
    """One feature of a feature service."""

    name: str
    """The name that results give it."""

    feature_reference: str
    """Feast's feature reference, `view:feature`."""

    dtype: str
    """Feast's name of its type: Bool, Int32, Int64, Float32, Float64, String, Bytes or UnixTimestamp."""

    max_age_s: float | None
    """The age from which its values are OUTSIDE_MAX_AGE; None when there is none."""


@dataclass(frozen=True, slots=True)
class FeatureService:
    """A named set of features."""

    name: str

    features: tuple[FeatureDescription, ...]
    """In the order of results."""

    join_key: str
    """The name of the join key that user ids are values of."""

    contract_hash: str
    """The hash of the contract that it is of."""


def feature_service(response: user_feature_service_pb2.GetFeatureServiceResponse) -> FeatureService:
    """Return the feature service of a reply."""
    return _feature_service(response.feature_service, response.join_key, response.contract_hash)


def feature_services(response: user_feature_service_pb2.ListFeatureServicesResponse) -> list[FeatureService]:
    """Return the feature services of a reply, in its order."""
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
    return FeatureService(message.name, features, join_key, contract_hash)
