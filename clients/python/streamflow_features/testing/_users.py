"""The users that a test server serves, as a test gives them."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from streamflow.features.v1.feature_pb2 import Feature as FeatureMessage

from streamflow_features._errors import FeatureServingError
from streamflow_features._features import FeatureStatus, UserFeatures
from streamflow_features.testing._definitions import Definitions, Feature
from streamflow_features.testing._encoding import common_dtype, dtype_of, put

ServedUser = Mapping[str, Any] | FeatureServingError
"""A user's features by name, a `UserFeatures` with statuses and event timestamps too, or the error that calls get."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a user's row."""

    value: Any
    status: FeatureStatus | None = None
    """What the test says; None for what the value suggests."""

    event_timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a user."""

    cells: Mapping[tuple[str, str], Cell] = field(default_factory=dict)
    """By feature view and name."""

    views: frozenset[str] = frozenset()
    """The feature views that have a row for the user: those of which a feature is given."""

    stale_age_s: float | None = None


class Users(MutableMapping[str, ServedUser]):
    """The users by id. A user that is set, replaced or deleted is so for the next call.

    Setting a user raises ValueError for a feature that the contract does not have, and TypeError or ValueError for a
    value that is not of the feature's type.
    """

    def __init__(self, definitions: Definitions) -> None:
        """Creates the mapping without users."""
        self._definitions = definitions
        self._given: dict[str, ServedUser] = {}
        self._rows: dict[str, Row] = {}

    def row(self, user_id: str) -> Row:
        """Return what is known of a user; an unknown user has no cells. Raises the user's error."""
        given = self._given.get(user_id)
        if isinstance(given, FeatureServingError):
            raise given
        return self._rows.get(user_id, Row())

    def __setitem__(self, user_id: str, user: ServedUser) -> None:
        if isinstance(user, FeatureServingError):
            self._rows.pop(user_id, None)
        else:
            self._rows[user_id] = self._row(user)
        self._given[user_id] = user

    def __getitem__(self, user_id: str) -> ServedUser:
        return self._given[user_id]

    def __delitem__(self, user_id: str) -> None:
        del self._given[user_id]
        self._rows.pop(user_id, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def _row(self, user: Mapping[str, Any]) -> Row:
        told = user if isinstance(user, UserFeatures) else None
        cells: dict[tuple[str, str], Cell] = {}
        for name, given in user.items():
            # As NumPy's numbers and arrays.
            value = given.tolist() if hasattr(given, "tolist") else given
            feature = self._definitions.named(name)
            self._check(feature, value)
            status = told.statuses[name] if told is not None else None
            if status is not FeatureStatus.NOT_FOUND:
                stamp = told.event_timestamps[name] if told is not None else None
                cells[feature.view, feature.name] = Cell(value, status, stamp)
        return Row(cells, frozenset(view for view, _ in cells), told.stale_age_s if told is not None else None)

    def _check(self, feature: Feature, value: Any) -> None:
        if callable(value):
            # Of request data, which no call has yet.
            return
        try:
            if self._definitions.is_open:
                dtype = common_dtype(feature.dtype or None, dtype_of(value)) or ""
                self._definitions.views[feature.view].features[feature.name] = replace(feature, dtype=dtype)
            else:
                put(FeatureMessage(), feature.dtype, value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{feature.reference} can't be {value!r}: {error}") from None
