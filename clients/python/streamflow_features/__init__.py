"""The Python client of StreamFlow feature serving: returns users' features as mappings of names to Python values."""

from streamflow_features._async_client import AsyncFeatureClient
from streamflow_features._authorization import Authorization
from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._client import FeatureClient
from streamflow_features._connection import ConnectionOptions
from streamflow_features._errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FeatureServingError,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from streamflow_features._features import FeatureStatus, ServingInfo, UserFeatures
from streamflow_features._fills import KEPT, Fill, Fills
from streamflow_features._many import ManyOptions
from streamflow_features._online_response import OnlineColumn, OnlineResponse
from streamflow_features._queries import QueryOptions, Question, ReadOptions, StalenessPolicy
from streamflow_features._reasons import ErrorReason
from streamflow_features._request_data import RequestDataValue
from streamflow_features._services import FeatureDescription, FeatureService, RequestDataDescription
from streamflow_features._stream import Answer
from streamflow_features._typed import Asked, Given, TypedFeatures, TypedService, TypedUserFeatures
from streamflow_features._values import Element, UnknownValue, Value

__all__ = [
    "KEPT",
    "Answer",
    "Asked",
    "AsyncFeatureClient",
    "Authorization",
    "Cancelled",
    "ConnectionOptions",
    "DeadlineExceeded",
    "Element",
    "ErrorReason",
    "FailedPrecondition",
    "FeatureClient",
    "FeatureDescription",
    "FeatureService",
    "FeatureServingError",
    "FeatureStatus",
    "Fill",
    "Fills",
    "Given",
    "Internal",
    "InvalidArgument",
    "ManyOptions",
    "NotFound",
    "OnlineColumn",
    "OnlineResponse",
    "PermissionDenied",
    "QueryOptions",
    "Question",
    "ReadOptions",
    "RequestDataDescription",
    "RequestDataValue",
    "ResourceExhausted",
    "ServingInfo",
    "StalenessPolicy",
    "TypedFeatures",
    "TypedService",
    "TypedUserFeatures",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UnknownValue",
    "UserFeatures",
    "UserFeaturesBatch",
    "Value",
]
