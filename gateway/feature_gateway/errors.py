"""Everything that a call can fail with, and the one table of what the caller is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason

ERROR_DOMAIN = "streamflow.features.v1"
"""The domain of every google.rpc.ErrorInfo."""

INTERNAL_MESSAGE = "The gateway failed on this call; its log has the cause."
"""All that a caller learns of an unforeseen exception."""


class StartError(Exception):
    """The gateway can't start; the message says why and what to change."""


class GatewayError(Exception):
    """A call failed; the message is for the caller."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Take the caller's message, the request field at fault, ErrorInfo's metadata, and when to try again."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class RequestMalformedError(GatewayError):
    """The request's bytes are not a message of the method's type."""


class UserIdEmptyError(GatewayError):
    """No user id was given."""


class UserIdTooLongError(GatewayError):
    """The user id is longer than the gateway takes."""


class UserIdMalformedError(GatewayError):
    """The user id is not of the join key's pattern."""


class FeatureServiceEmptyError(GatewayError):
    """The selection names a feature service with no name."""


class FeatureServiceUnknownError(GatewayError):
    """The contract has no such feature service."""


class FeatureReferencesEmptyError(GatewayError):
    """The selection is a list of feature references without any."""


class FeatureReferencesTooManyError(GatewayError):
    """The selection has more references than the contract has features."""


class FeatureReferenceMalformedError(GatewayError):
    """A reference is not of the form `feature_view:feature`."""


class FeatureReferenceDuplicateError(GatewayError):
    """A reference is given twice."""


class FeatureViewUnknownError(GatewayError):
    """The contract has no such feature view."""


class FeatureUnknownError(GatewayError):
    """The feature view has no such feature."""


class DeadlineExceededError(GatewayError):
    """The call's time ran out before the feature server had answered."""


class UpstreamUnavailableError(GatewayError):
    """The feature server could not be reached, or could not read its online store."""


class UpstreamMismatchError(GatewayError):
    """The feature server answered what the contract does not allow."""


class OverloadedError(GatewayError):
    """Too many calls are waiting, or the deadline can't be met."""


class FeatureViewNotReadyError(GatewayError):
    """A feature view can't be served while its state changes."""


class RejectedUpstreamError(GatewayError):
    """The feature server can't read what was asked for this user."""


class ContractMismatchError(GatewayError):
    """The request was built for another contract."""


class FeaturesTooOldError(GatewayError):
    """Features are older than their maximum age, and the request's policy is to fail."""


class MaxAgeInvalidError(GatewayError):
    """The request's maximum age is negative or out of range."""


class StalenessPolicyUnknownError(GatewayError):
    """The request's staleness policy is none that the gateway knows."""


class UserIdsEmptyError(GatewayError):
    """A batch names no user."""


class UserIdsTooManyError(GatewayError):
    """A batch names more users than the gateway takes."""


class TimeoutInvalidError(GatewayError):
    """A message's timeout is not above zero, or out of range."""


class CredentialsInvalidError(GatewayError):
    """The feature server does not know the call's credentials, or wants some."""


class PermissionDeniedError(GatewayError):
    """The feature server knows the call's credentials, and does not let them read."""


class ShuttingDownError(GatewayError):
    """The gateway is ending, and reads no more of a stream."""


class InternalError(GatewayError):
    """A fault of the gateway."""


@dataclass(frozen=True)
class ErrorEntry:
    """What a caller is told of a class of errors."""

    code: StatusCode
    reason: ErrorReason.ValueType
    http_status: HTTPStatus


_INVALID = StatusCode.INVALID_ARGUMENT
_FAILED_PRECONDITION = StatusCode.FAILED_PRECONDITION
_BAD_REQUEST = HTTPStatus.BAD_REQUEST

ERROR_TABLE: Mapping[type[GatewayError], ErrorEntry] = {
    RequestMalformedError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_REQUEST_MALFORMED, _BAD_REQUEST),
    UserIdEmptyError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_USER_ID_EMPTY, _BAD_REQUEST),
    UserIdTooLongError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_USER_ID_TOO_LONG, _BAD_REQUEST),
    UserIdMalformedError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_USER_ID_MALFORMED, _BAD_REQUEST),
    FeatureServiceEmptyError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY, _BAD_REQUEST),
    FeatureServiceUnknownError: ErrorEntry(
        StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_FEATURE_SERVICE_UNKNOWN, HTTPStatus.NOT_FOUND
    ),
    FeatureReferencesEmptyError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_FEATURE_REFERENCES_EMPTY, _BAD_REQUEST),
    FeatureReferencesTooManyError: ErrorEntry(
        _INVALID, ErrorReason.ERROR_REASON_FEATURE_REFERENCES_TOO_MANY, _BAD_REQUEST
    ),
    FeatureReferenceMalformedError: ErrorEntry(
        _INVALID, ErrorReason.ERROR_REASON_FEATURE_REFERENCE_MALFORMED, _BAD_REQUEST
    ),
    FeatureReferenceDuplicateError: ErrorEntry(
        _INVALID, ErrorReason.ERROR_REASON_FEATURE_REFERENCE_DUPLICATE, _BAD_REQUEST
    ),
    FeatureViewUnknownError: ErrorEntry(
        StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_FEATURE_VIEW_UNKNOWN, HTTPStatus.NOT_FOUND
    ),
    FeatureUnknownError: ErrorEntry(
        StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_FEATURE_UNKNOWN, HTTPStatus.NOT_FOUND
    ),
    DeadlineExceededError: ErrorEntry(
        StatusCode.DEADLINE_EXCEEDED, ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, HTTPStatus.GATEWAY_TIMEOUT
    ),
    UpstreamUnavailableError: ErrorEntry(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UPSTREAM_UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    UpstreamMismatchError: ErrorEntry(
        StatusCode.INTERNAL, ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, HTTPStatus.INTERNAL_SERVER_ERROR
    ),
    OverloadedError: ErrorEntry(
        StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_OVERLOADED, HTTPStatus.TOO_MANY_REQUESTS
    ),
    FeatureViewNotReadyError: ErrorEntry(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_FEATURE_VIEW_NOT_READY, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    RejectedUpstreamError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_REJECTED_UPSTREAM, _BAD_REQUEST),
    ContractMismatchError: ErrorEntry(
        _FAILED_PRECONDITION, ErrorReason.ERROR_REASON_CONTRACT_MISMATCH, HTTPStatus.PRECONDITION_FAILED
    ),
    FeaturesTooOldError: ErrorEntry(
        _FAILED_PRECONDITION, ErrorReason.ERROR_REASON_FEATURES_TOO_OLD, HTTPStatus.PRECONDITION_FAILED
    ),
    MaxAgeInvalidError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_MAX_AGE_INVALID, _BAD_REQUEST),
    StalenessPolicyUnknownError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_STALENESS_POLICY_UNKNOWN, _BAD_REQUEST),
    UserIdsEmptyError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_USER_IDS_EMPTY, _BAD_REQUEST),
    UserIdsTooManyError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_USER_IDS_TOO_MANY, _BAD_REQUEST),
    TimeoutInvalidError: ErrorEntry(_INVALID, ErrorReason.ERROR_REASON_TIMEOUT_INVALID, _BAD_REQUEST),
    CredentialsInvalidError: ErrorEntry(
        StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, HTTPStatus.UNAUTHORIZED
    ),
    PermissionDeniedError: ErrorEntry(
        StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED, HTTPStatus.FORBIDDEN
    ),
    ShuttingDownError: ErrorEntry(
        StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_SHUTTING_DOWN, HTTPStatus.SERVICE_UNAVAILABLE
    ),
    InternalError: ErrorEntry(StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR),
}
"""By class: the gRPC code, ErrorInfo's reason and the HTTP status."""


CREDENTIALS_REFUSED = (CredentialsInvalidError, PermissionDeniedError)
"""The feature server refuses the call's credentials; it is well itself."""


def entry_of(error: GatewayError) -> ErrorEntry:
    """Return the table's row for an error, or for the class that it refines."""
    return next(ERROR_TABLE[kind] for kind in type(error).__mro__ if kind in ERROR_TABLE)


def as_gateway_error(error: Exception) -> GatewayError:
    """Return the error itself when it is a caller's to see, else an InternalError that says nothing of it."""
    return error if isinstance(error, GatewayError) else InternalError(INTERNAL_MESSAGE)
