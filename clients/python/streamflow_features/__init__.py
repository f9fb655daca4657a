"""The Python client of StreamFlow feature serving: returns users' features as mappings of names to Python values."""

from streamflow_features._async_client import AsyncFeatureClient
from streamflow_features._authorization import Authorization
from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._client import FeatureClient
from streamflow_features._errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FeatureServingError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from streamflow_features._features import Element, FeatureStatus, ServingInfo, UserFeatures, Value
from streamflow_features._queries import QueryOptions, Question, StalenessPolicy
from streamflow_features._request_data import RequestDataValue
from streamflow_features._services import FeatureDescription, FeatureService, RequestDataDescription
from streamflow_features._stream import Answer
from streamflow_features._text import as_lines

__all__ = [
    "Answer",
    "AsyncFeatureClient",
    "Authorization",
    "DeadlineExceeded",
    "Element",
    "FailedPrecondition",
    "FeatureClient",
    "FeatureDescription",
    "FeatureService",
    "FeatureServingError",
    "FeatureStatus",
    "InvalidArgument",
    "NotFound",
    "QueryOptions",
    "Question",
    "RequestDataDescription",
    "RequestDataValue",
    "ResourceExhausted",
    "ServingInfo",
    "StalenessPolicy",
    "Unavailable",
    "UserFeatures",
    "UserFeaturesBatch",
    "Value",
    "as_lines",
]
