"""One user's features as Python values."""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Self

from streamflow.features.v1 import feature_pb2, user_feature_service_pb2

from streamflow_features._columns import Column
from streamflow_features._newer import unknown_member
from streamflow_features._text import in_columns, shown
from streamflow_features._values import Element, Value, event_timestamp_of, value_of


class FeatureStatus(IntEnum):
    """Whether a value is there, and how old it is. A status that is newer than this client has the name UNKNOWN."""

    PRESENT = feature_pb2.FEATURE_STATUS_PRESENT
    """The value is there, and not older than the maximum age."""

    NULL_VALUE = feature_pb2.FEATURE_STATUS_NULL_VALUE
    """The feature view has a row for the user, and the row holds null."""

    NOT_FOUND = feature_pb2.FEATURE_STATUS_NOT_FOUND
    """The feature view has no row for the user."""

    OUTSIDE_MAX_AGE = feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE
    """The value is there, and older than the maximum age."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return unknown_member(cls, value, of=int)


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


@dataclass(frozen=True, slots=True, repr=False)
class UserFeatures(Mapping[str, Value]):
    """One user's features: a mapping of names to values, in the order of the feature service or of the references.

    `list(features.values())` has the values in that order. `dict(features)` and `[features[name] for name in names]`
    work too. `statuses` and `event_timestamps` have the same names. Two are equal when all that they hold is equal;
    compare `dict(features)` to compare values alone.
    """

    user_id: str
    """The user id of the request."""

    _values: dict[str, Value]

    statuses: Mapping[str, FeatureStatus]
    """Whether each value is there, and how old it is."""

    event_timestamps: Mapping[str, datetime | None]
    """The event timestamp of each value, in UTC, to the microsecond. None when the status is NOT_FOUND."""

    user_known: bool
    """Whether at least one feature view that was read has a row for the user."""

    contract_hash: str
    """The hash of the gateway's contract."""

    serving_info: ServingInfo | None = None
    """How the call was served. None unless the call has include_serving_info."""

    stale_age_s: float | None = None
    """How many seconds ago the features were read, when the gateway answered from an earlier read; else None."""

    @classmethod
    def of(
        cls,
        user_id: str,
        values: Mapping[str, Value | list[Element]],
        *,
        statuses: Mapping[str, FeatureStatus] | None = None,
        event_timestamps: Mapping[str, datetime | None] | None = None,
        user_known: bool = True,
        contract_hash: str = "",
        serving_info: ServingInfo | None = None,
        stale_age_s: float | None = None,
    ) -> Self:
        """Return features that did not come from a gateway, for tests.

        A name without a status gets NULL_VALUE for None, else PRESENT; NOT_FOUND for all when `user_known` is false. A
        name without an event timestamp has none. Lists become tuples. Raises ValueError for a name that is not in
        `values`.
        """
        given_statuses, given_timestamps = statuses or {}, event_timestamps or {}
        strangers = [name for name in (*given_statuses, *given_timestamps) if name not in values]
        if strangers:
            message = f"{strangers[0]!r} has a status or an event timestamp and no value."
            raise ValueError(message)

        def status(value: Value) -> FeatureStatus:
            if not user_known:
                return FeatureStatus.NOT_FOUND
            return FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT

        kept = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(
            user_id,
            kept,
            Column.of({name: given_statuses.get(name, status(value)) for name, value in kept.items()}),
            Column.of({name: given_timestamps.get(name) for name in kept}),
            user_known=user_known,
            contract_hash=contract_hash,
            serving_info=serving_info,
            stale_age_s=stale_age_s,
        )

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._values.keys()

    def values(self) -> ValuesView[Value]:
        """Return the values."""
        return self._values.values()

    def items(self) -> ItemsView[str, Value]:
        """Return the names with the values."""
        return self._values.items()

    def __hash__(self) -> int:
        return hash((self.user_id, self.contract_hash, tuple(self._values.items())))

    def __repr__(self) -> str:
        known = "" if self.user_known else ", user_known=False"
        return f"UserFeatures({self.user_id!r}, {self._values!r}{known})"

    def __str__(self) -> str:
        """Return one line for each feature, in columns: name, value, status, event timestamp."""
        return "\n".join(
            in_columns(
                (name, shown(value), self.statuses[name].name, stamp.isoformat() if stamp else "-")
                for (name, value), stamp in zip(self.items(), self.event_timestamps.values(), strict=True)
            )
        )


def features_of_user(
    user: feature_pb2.UserFeatures,
    *,
    contract_hash: str,
    serving_info: ServingInfo | None = None,
    stale_age_s: float | None = None,
) -> UserFeatures:
    """Return the features of one user of a reply."""
    features = user.features
    return UserFeatures(
        user.user_id,
        {feature.name: value_of(feature) for feature in features},
        Column(statuses_of, features),
        Column(event_timestamps_of, features),
        user.user_known,
        contract_hash,
        serving_info,
        stale_age_s,
    )


def statuses_of(features: Sequence[feature_pb2.Feature]) -> dict[str, FeatureStatus]:
    """Return the statuses by the features' names."""
    return {feature.name: FeatureStatus(feature.status) for feature in features}


def event_timestamps_of(features: Sequence[feature_pb2.Feature]) -> dict[str, datetime | None]:
    """Return the event timestamps by the features' names."""
    return {feature.name: event_timestamp_of(feature) for feature in features}


def user_features(response: user_feature_service_pb2.GetUserFeaturesResponse) -> UserFeatures:
    """Return the features of a reply for one user."""
    return features_of_user(
        response.user_features,
        contract_hash=response.contract_hash,
        serving_info=serving_info_of(response.serving_info if response.HasField("serving_info") else None),
        stale_age_s=stale_age_s_of(response),
    )


def serving_info_of(info: user_feature_service_pb2.ServingInfo | None) -> ServingInfo | None:
    """Return how a call was served. None when the reply does not say."""
    if info is None:
        return None
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
