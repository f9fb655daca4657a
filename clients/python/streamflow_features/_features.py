"""One user's features as Python values."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1 import feature_pb2, user_feature_service_pb2

Value = bool | int | float | str | bytes | datetime | None
"""A feature's value; None where its status is NULL_VALUE or NOT_FOUND."""

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
    """The value is there and older than its feature view's maximum age."""


class UserFeatures(Mapping[str, Value]):
    """One user's features by name, in the order of the feature service, or of the references asked for.

    A mapping of names to values, so `dict(features)` and `[features[name] for name in names]` work; `statuses` and
    `event_timestamps` have the same names.
    """

    def __init__(self, response: user_feature_service_pb2.GetUserFeaturesResponse) -> None:
        """Take the values out of a reply."""
        user = response.user_features
        self.user_id: str = user.user_id
        """The id that was asked for."""
        self.user_known: bool = user.user_known
        """Whether any feature view that was read holds a row of the user."""
        self.contract_hash: str = response.contract_hash
        """The hash of the contract that the gateway answered by."""
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
