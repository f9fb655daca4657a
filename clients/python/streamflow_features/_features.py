"""One user's features as Python values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1 import feature_pb2, user_feature_service_pb2

Element = bool | int | float | str | bytes | datetime | None
"""An element of a list. None for a null time. Feast stores no other null elements as such."""

Value = bool | int | float | str | bytes | datetime | tuple[Element, ...] | None
"""A feature's value; a list is a tuple, because results don't change.

None when the status is NULL_VALUE or NOT_FOUND, and when an old value was left out.
"""

# As Feast stores a null in a list of times.
_NULL_TIMESTAMP_S = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FeatureStatus(IntEnum):
    """Whether a value is there, and how old it is."""

    PRESENT = feature_pb2.FEATURE_STATUS_PRESENT
    """The value is there, and not older than the maximum age."""

    NULL_VALUE = feature_pb2.FEATURE_STATUS_NULL_VALUE
    """The feature view has a row for the user, and the row holds null."""

    NOT_FOUND = feature_pb2.FEATURE_STATUS_NOT_FOUND
    """The feature view has no row for the user."""

    OUTSIDE_MAX_AGE = feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE
    """The value is there, and older than the maximum age."""


@dataclass(frozen=True, slots=True)
class ServingInfo:
    """How a call was served: how long each part took, and how many users shared the read."""

    gateway_time_s: float
    """The time from the request's arrival in the gateway until the reply was ready."""

    queue_time_s: float
    """The part of gateway_time_s in which the call waited for a read to start."""

    upstream_time_s: float
    """The part of gateway_time_s that the feature server took, retries included."""

    batch_size: int
    """The number of users in the read."""

    retried: bool
    """Whether the gateway retried the read on another feature server."""

    hedged: bool
    """Whether the gateway sent the read to a second feature server because the first was slow."""


class UserFeatures(Mapping[str, Value]):
    """One user's features: a mapping of names to values, in the order of the feature service or of the references.

    `list(features.values())` has the values in that order. `dict(features)` and `[features[name] for name in names]`
    work too. `statuses` and `event_timestamps` have the same names.
    """

    def __init__(
        self,
        user: feature_pb2.UserFeatures,
        *,
        contract_hash: str,
        serving_info: ServingInfo | None = None,
        stale_age_s: float | None = None,
    ) -> None:
        """Creates the features of one user from a reply."""
        self.user_id: str = user.user_id
        """The user id of the request."""
        self.user_known: bool = user.user_known
        """Whether at least one feature view that was read has a row for the user."""
        self.contract_hash = contract_hash
        """The hash of the gateway's contract."""
        self.serving_info = serving_info
        """How the call was served. None unless the call has include_serving_info."""
        self.stale_age_s = stale_age_s
        """How many seconds ago the features were read, when the gateway answered from an earlier read; else None."""
        self._values = {feature.name: _value(feature) for feature in user.features}
        self.statuses: Mapping[str, FeatureStatus] = MappingProxyType(
            {feature.name: FeatureStatus(feature.status) for feature in user.features}
        )
        """Whether each value is there, and how old it is."""
        self.event_timestamps: Mapping[str, datetime | None] = MappingProxyType(
            {
                feature.name: _datetime(feature.event_timestamp) if feature.HasField("event_timestamp") else None
                for feature in user.features
            }
        )
        """The event timestamp of each value, in UTC, to the microsecond. None when the status is NOT_FOUND."""

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"UserFeatures(user_id={self.user_id!r}, user_known={self.user_known}, {self._values!r})"


def user_features(response: user_feature_service_pb2.GetUserFeaturesResponse) -> UserFeatures:
    """Return the features of a reply for one user."""
    return UserFeatures(
        response.user_features,
        contract_hash=response.contract_hash,
        serving_info=serving_info_of(response),
        stale_age_s=stale_age_s_of(response),
    )


def serving_info_of(
    response: user_feature_service_pb2.GetUserFeaturesResponse | user_feature_service_pb2.BatchGetUserFeaturesResponse,
) -> ServingInfo | None:
    """Return how a reply was served. None when the reply has no serving_info."""
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
    """Return how many seconds ago the features were read. None when they were read for this call."""
    return reply.stale_age.ToTimedelta().total_seconds() if reply.HasField("stale_age") else None


def _value(feature: feature_pb2.Feature) -> Value:
    field = feature.WhichOneof("value")
    if field is None:
        return None
    if field == "timestamp_value":
        return _datetime(feature.timestamp_value)
    if field == "timestamp_list_value":
        return tuple(map(_element_datetime, feature.timestamp_list_value.val))
    value = getattr(feature, field)
    return tuple(value.val) if field.endswith("_list_value") else value


def _element_datetime(stamp_s: int) -> datetime | None:
    return None if stamp_s == _NULL_TIMESTAMP_S else _EPOCH + timedelta(seconds=stamp_s)


def _datetime(stamp: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
