"""The error of a question that can't be answered, as a gateway has it."""

from collections.abc import Mapping
from typing import Final

import grpc

from streamflow_features._errors import FeatureServingError, error_of
from streamflow_features._reasons import ErrorReason

_OTHER_CODES: Final[Mapping[ErrorReason, grpc.StatusCode]] = {
    ErrorReason.FEATURE_SERVICE_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    ErrorReason.FEATURE_VIEW_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    ErrorReason.FEATURE_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    ErrorReason.CONTRACT_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.FEATURES_TOO_OLD: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorReason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def refused(reason: ErrorReason, message: str, **metadata: str) -> FeatureServingError:
    """Return the error of a reason; most reasons are INVALID_ARGUMENT."""
    code = _OTHER_CODES.get(reason, grpc.StatusCode.INVALID_ARGUMENT)
    return error_of(code, message, reason=reason, metadata=metadata)
