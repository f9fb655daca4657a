"""One user's features as Python values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1 import feature_pb2, user_feature_service_pb2

Value = bool | int | float | str | bytes | datetime | None
"""A feature's value; None where its status is NULL_VALUE or NOT_FOUND, and where an old value was left out."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FeatureStatus(IntEnum):
    """What is known about a value."""

    PRESENT = feature_pb2.FEATURE_STATUS_PRESENT
    """The value is there and within its maximum age."""

    NULL_VALUE = feature_pb2.FEATURE_STATUS_NULL_VALUE
    """The user's row is there and holds null."""

    NOT_FOUND = feature_pb2.FEATURE_STATUS_NOT_FOUND
    """The feature view holds no row of the user."""

    OUTSIDE_MAX_AGE = feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE
    """The value is there and older than its maximum age."""


@dataclass(frozen=True, slots=True)
class ServingInfo:
    """How a call was served: where its time went, and what it shared with others."""

    gateway_time_s: float
    """From the request's arrival in the gateway until the reply was ready."""

    queue_time_s: float
    """How much of it was spent waiting for a place in a read."""

    upstream_time_s: float
    """How much of it the feature server took, retries included."""

    batch_size: int
    """How many users the read had."""

    retried: bool
    """Whether the read was tried again on another feature server."""

    hedged: bool
    """Whether a second feature server was asked because the first was slow."""


class UserFeatures(Mapping[str, Value]):
    """One user's features by name, in the order of the feature service, or of the references asked for.

    A mapping of names to values: `list(features.values())` has them in that order, and `dict(features)` and
    `[features[name] for name in names]` work. `statuses` and `event_timestamps` have the same names.
    """

    def __init__(
        self,
        user: feature_pb2.UserFeatures,
        *,
        contract_hash: str,
        serving_info: ServingInfo | None = None,
        stale_age_s: float | None = None,
    ) -> None:
        """Take the values out of a reply's part."""
        self.user_id: str = user.user_id
        """The id that was asked for."""
        self.user_known: bool = user.user_known
        """Whether any feature view that was read holds a row of the user."""
        self.contract_hash = contract_hash
        """The hash of the contract that the gateway answered by."""
        self.serving_info = serving_info
        """How the call was served; None unless asked for."""
        self.stale_age_s = stale_age_s
        """How long ago the features were read, when the gateway could not read them now; None when it could."""
        self._values = {feature.name: _value(feature) for feature in user.features}
        self.statuses: Mapping[str, FeatureStatus] = MappingProxyType(
            {feature.name: FeatureStatus(feature.status) for feature in user.features}
        )
        """What is known about each value."""
        self.event_timestamps: Mapping[str, datetime | None] = MappingProxyType(
            {
                feature.name: _datetime(feature.event_timestamp) if feature.HasField("event_timestamp") else None
                for feature in user.features
            }
        )
        """When each value was true, in UTC, to the microsecond; None where the status is NOT_FOUND."""

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"UserFeatures(user_id={self.user_id!r}, user_known={self.user_known}, {self._values!r})"


def user_features(response: user_feature_service_pb2.GetUserFeaturesResponse) -> UserFeatures:
    """Return the features of a reply about one user."""
    return UserFeatures(
        response.user_features,
        contract_hash=response.contract_hash,
        serving_info=serving_info_of(response),
        stale_age_s=stale_age_s_of(response),
    )


def serving_info_of(
    response: user_feature_service_pb2.GetUserFeaturesResponse | user_feature_service_pb2.BatchGetUserFeaturesResponse,
) -> ServingInfo | None:
    """Return how a reply was served; None when it does not say so."""
    if not response.HasField("serving_info"):
        return None
    info = response.serving_info
    return ServingInfo(
        gateway_time_s=info.gateway_time.ToTimedelta().total_seconds(),
        queue_time_s=info.queue_time.ToTimedelta().total_seconds(),
        upstream_time_s=info.upstream_time.ToTimedelta().total_seconds(),
        batch_size=info.batch_size,
        retried=info.retried,
        hedged=info.hedged,
    )


def stale_age_s_of(
    reply: user_feature_service_pb2.GetUserFeaturesResponse | user_feature_service_pb2.UserResult,
) -> float | None:
    """Return how long ago the features of a reply were read; None when that was for this call."""
    return reply.stale_age.ToTimedelta().total_seconds() if reply.HasField("stale_age") else None


def _value(feature: feature_pb2.Feature) -> Value:
    field = feature.WhichOneof("value")
    if field is None:
        return None
    if field == "timestamp_value":
        return _datetime(feature.timestamp_value)
    value: Value = getattr(feature, field)
    return value


def _datetime(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
