"""The client of StreamFlow feature serving: one user's features as a mapping of names to Python values."""

from streamflow_features._client import FeatureClient
from streamflow_features._errors import (
    DeadlineExceeded,
    FeatureServingError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from streamflow_features._features import FeatureStatus, UserFeatures, Value
from streamflow_features._text import as_lines

__all__ = [
    "DeadlineExceeded",
    "FeatureClient",
    "FeatureServingError",
    "FeatureStatus",
    "InvalidArgument",
    "NotFound",
    "Unavailable",
    "UserFeatures",
    "Value",
    "as_lines",
]
