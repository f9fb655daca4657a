"""One feature of one user, as training and as a model service have it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamflow_features import FeatureStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A feature of the audited feature service, as it is applied."""

    view: str
    name: str
    dtype: str
    max_age_s: float | None

    @property
    def reference(self) -> str:
        """Feast's feature reference."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineCell:
    """What training gets."""

    value: Any = None
    """As `get_historical_features` gives it; None without a row, for null, and where the row is too old."""

    event_timestamp: datetime | None = None
    """Of the view's newest row of the user; None without one."""

    too_old: bool = False
    """Whether that row is older than the view's ttl, so that training does not see it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineCell:
    """What a model service gets."""

    value: Any = None
    """As the client gives it, too old values left out."""

    event_timestamp: datetime | None = None
    """None where the view has no row of the user."""

    status: FeatureStatus | None = None
    """None where the gateway answered with an error."""

    error: str | None = None
    """What the gateway says instead of a value."""

    wrong_type: bool = False
    """Whether the error is that the stored value is not of the contract's type."""
