"""The exceptions of a failed call. Only this module reads gRPC's errors."""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import CallError


class FeatureServingError(Exception):
    """A call failed. Each gRPC code below has a subclass; other codes raise this class."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Creates an error with the gateway's message."""
        super().__init__(message)
        self.code = code
        """The gRPC status code."""
        self.reason = reason
        """The name of an ErrorReason. None when the error does not come from the gateway."""
        self.metadata: Mapping[str, str] = metadata or {}
        """The subject of the reason, such as `feature_service`."""
        self.retry_after_s = retry_after_s
        """How many seconds to wait before a retry. None when waiting does not help."""


class InvalidArgument(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The request is wrong. The message says what to change."""


class NotFound(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The feature service, feature view or feature does not exist. An unknown user is not an error."""


class FailedPrecondition(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The gateway uses a different contract, or features are too old for the call's staleness policy."""


class ResourceExhausted(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The gateway has too many waiting calls, or can't meet the deadline. Retry after `retry_after_s`."""


class Unavailable(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The gateway, a feature server or the online store can't be reached. A retry can succeed."""


class DeadlineExceeded(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The answer did not arrive before the deadline."""


_CLASSES: Mapping[grpc.StatusCode, type[FeatureServingError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def from_rpc_error(error: grpc.RpcError) -> FeatureServingError:
    """Return the exception for a failed call: the code's subclass, or the base class."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return FeatureServingError(str(error), code=grpc.StatusCode.UNKNOWN)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its annotation omits grpc.aio
    for detail in status.details if status else ():
        # Unpack does nothing for a detail of another type.
        detail.Unpack(info)
        detail.Unpack(retry)
    return error_of(
        error.code(),
        error.details() or error.code().name,
        reason=info.reason or None,
        metadata=dict(info.metadata),
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def from_call_error(error: CallError) -> FeatureServingError:
    """Return the exception for a failed part of a call."""
    known = error.reason in ErrorReason.values()
    return error_of(
        _CODES.get(error.code, grpc.StatusCode.UNKNOWN),
        error.message,
        reason=ErrorReason.Name(error.reason) if known else str(error.reason),
        metadata=dict(error.metadata),
        retry_after_s=error.retry_delay.ToTimedelta().total_seconds() if error.HasField("retry_delay") else None,
    )


def error_of(
    code: grpc.StatusCode,
    message: str,
    *,
    reason: str | None = None,
    metadata: Mapping[str, str] | None = None,
    retry_after_s: float | None = None,
) -> FeatureServingError:
    """Return the exception for a status code."""
    return _CLASSES.get(code, FeatureServingError)(
        message, code=code, reason=reason, metadata=metadata, retry_after_s=retry_after_s
    )
