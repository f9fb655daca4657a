"""What a call can fail with, made from gRPC's errors in one place."""

from collections.abc import Mapping

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class FeatureServingError(Exception):
    """A call failed."""

    def __init__(self, message: str, *, code: grpc.StatusCode, reason: str | None, metadata: Mapping[str, str]) -> None:
        """Take what the gateway said."""
        super().__init__(message)
        self.code = code
        """The gRPC status code."""
        self.reason = reason
        """The name of an ErrorReason; None when the answer was not the gateway's."""
        self.metadata = metadata
        """What the reason is about, such as `feature_service`."""


class InvalidArgument(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The request can't be answered as it is; the message says what to change."""


class NotFound(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """There is no such feature service, view or feature. An unknown user is not an error."""


class Unavailable(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The gateway, or what is behind it, can't be reached; worth a retry."""


class DeadlineExceeded(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The answer did not come in time."""


_CLASSES: Mapping[grpc.StatusCode, type[FeatureServingError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def from_rpc_error(error: grpc.RpcError) -> FeatureServingError:
    """Return the exception that a failed call means; one of a code without a class of its own is the base class."""
    if not isinstance(error, grpc.Call):
        return FeatureServingError(str(error), code=grpc.StatusCode.UNKNOWN, reason=None, metadata={})
    info = _error_info(error)
    return _CLASSES.get(error.code(), FeatureServingError)(
        error.details() or error.code().name,
        code=error.code(),
        reason=info.reason if info else None,
        metadata=dict(info.metadata) if info else {},
    )


def _error_info(call: grpc.Call) -> error_details_pb2.ErrorInfo | None:
    status = rpc_status.from_call(call)
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    return None
