"""The exceptions of a failed call. Only this module reads gRPC's errors."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from streamflow.features.v1.user_feature_service_pb2 import CallError

from streamflow_features._reasons import ErrorReason, reason_of_number


class FeatureServingError(Exception):
    """A call failed. Each gRPC code below has a subclass; other codes raise this class.

    Errors can be pickled, and are equal when all that they hold is equal.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: ErrorReason | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Creates an error with the gateway's message. Its code is by default that of its class."""
        super().__init__(message)
        self.code = code or next((of for of, made in _CLASSES.items() if made is type(self)), grpc.StatusCode.UNKNOWN)
        """The gRPC status code."""
        self.reason = reason
        """Why the call failed. None when the error does not come from the gateway."""
        self.metadata: Mapping[str, str] = metadata or {}
        """The subject of the reason, such as `feature_service`."""
        self.retry_after_s = retry_after_s
        """How many seconds to wait before a retry. None when waiting does not help."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash((type(self), str(self), self.code, self.reason))

    def __reduce__(self) -> tuple[Callable[[], "FeatureServingError"], tuple[()]]:
        """Return what makes an equal error in another process. An exception's own way passes positions alone."""
        make = partial(
            type(self),
            str(self),
            code=self.code,
            reason=self.reason,
            metadata=dict(self.metadata),
            retry_after_s=self.retry_after_s,
        )
        return make, ()


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


class Unauthenticated(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The call's `authorization` is missing, or was rejected. A new token can help."""


class PermissionDenied(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """These credentials may not read the features."""


class Internal(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The gateway or a feature server failed, or they use different definitions. A retry does not help."""


class Unimplemented(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The server does not have the method: a gateway that is older than this client, or no gateway at all."""


class Cancelled(FeatureServingError):  # noqa: N818  # gRPC's name for it
    """The client was closed during the call, or the server ended the call."""


_NAMED_USERS = 3

_CLASSES: Mapping[grpc.StatusCode, type[FeatureServingError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.CANCELLED: Cancelled,
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
        reason=ErrorReason(info.reason) if info.reason else None,
        metadata=dict(info.metadata),
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def from_call_error(error: CallError) -> FeatureServingError:
    """Return the exception for a failed part of a call."""
    return error_of(
        _CODES.get(error.code, grpc.StatusCode.UNKNOWN),
        error.message,
        reason=reason_of_number(error.reason),
        metadata=dict(error.metadata),
        retry_after_s=error.retry_delay.ToTimedelta().total_seconds() if error.HasField("retry_delay") else None,
    )


def too_many_users_limit(error: grpc.RpcError) -> int | None:
    """Return how many users the gateway takes in a batch, when a batch failed because it had more."""
    # Its details are parsed only for this code.
    if isinstance(error, grpc.Call | grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return users_limit(from_rpc_error(error))
    return None


def users_limit(error: FeatureServingError) -> int | None:
    """Return how many users the gateway takes in a batch, when an error says that a batch had more."""
    limit = error.metadata.get("max_users", "")
    return int(limit) if error.reason is ErrorReason.USER_IDS_TOO_MANY and limit.isdecimal() else None


def wrong_count(results: int, *, users: int) -> FeatureServingError:
    """Return the exception for a reply that does not have as many results as users were asked for."""
    return error_of(grpc.StatusCode.INTERNAL, f"The gateway answered {results} of {users} users.")


def undecodable() -> FeatureServingError:
    """Return the exception for a result that is not a message, with gRPC's message for a whole reply."""
    return error_of(grpc.StatusCode.INTERNAL, "Exception deserializing response!")


def closed() -> FeatureServingError:
    """Return the exception for a call that waits while its client is closed."""
    return error_of(grpc.StatusCode.CANCELLED, "The client was closed.")


def late() -> FeatureServingError:
    """Return the exception for a call that has no answer by its deadline, with gRPC's message."""
    return error_of(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


def error_of(
    code: grpc.StatusCode,
    message: str,
    *,
    reason: ErrorReason | None = None,
    metadata: Mapping[str, str] | None = None,
    retry_after_s: float | None = None,
) -> FeatureServingError:
    """Return the exception for a status code."""
    return _CLASSES.get(code, FeatureServingError)(
        message, code=code, reason=reason, metadata=metadata, retry_after_s=retry_after_s
    )


def error_of_users(failed: Sequence[tuple[str, FeatureServingError]], *, users: int) -> FeatureServingError:
    """Return one exception for the errors of some of `users` users: of their code, if all have the same."""
    errors = [error for _, error in failed]
    first = errors[0]
    named = [f"{user_id!r} ({error.code.name})" for user_id, error in failed[:_NAMED_USERS]]
    others = [f"{len(failed) - len(named):,} more"] if len(failed) > len(named) else []
    message = f"{len(failed):,} of {users:,} users have no features: {', '.join([*named, *others])}. First: {first}"
    if any(error.code is not first.code for error in errors):
        return FeatureServingError(message, code=grpc.StatusCode.UNKNOWN)
    waits_s = [error.retry_after_s for error in errors if error.retry_after_s is not None]
    return error_of(
        first.code,
        message,
        reason=first.reason if all(error.reason == first.reason for error in errors) else None,
        metadata=first.metadata if all(error.metadata == first.metadata for error in errors) else None,
        retry_after_s=max(waits_s) if len(waits_s) == len(errors) else None,
    )
