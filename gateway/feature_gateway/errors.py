"""Everything that a call can fail with, and the one table of the statuses that callers get."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.clipping import clipped, clipped_metadata

ERROR_DOMAIN = "streamflow.features.v1"
"""The domain of every google.rpc.ErrorInfo."""

INTERNAL_MESSAGE = "The gateway failed on this call; its log has the cause."
"""All that a caller learns of an unforeseen exception."""

CODES: Mapping[ErrorReason.ValueType, StatusCode] = {
    ErrorReason.ERROR_REASON_REQUEST_MALFORMED: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_ID_EMPTY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_ID_TOO_LONG: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_ID_MALFORMED: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_SERVICE_UNKNOWN: StatusCode.NOT_FOUND,
    ErrorReason.ERROR_REASON_FEATURE_REFERENCES_EMPTY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_REFERENCES_TOO_MANY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_REFERENCE_MALFORMED: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_REFERENCE_DUPLICATE: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_VIEW_UNKNOWN: StatusCode.NOT_FOUND,
    ErrorReason.ERROR_REASON_FEATURE_UNKNOWN: StatusCode.NOT_FOUND,
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
    ErrorReason.ERROR_REASON_UPSTREAM_UNAVAILABLE: StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH: StatusCode.INTERNAL,
    ErrorReason.ERROR_REASON_INTERNAL: StatusCode.INTERNAL,
    ErrorReason.ERROR_REASON_OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_FEATURE_VIEW_NOT_READY: StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_REJECTED_UPSTREAM: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_CONTRACT_MISMATCH: StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_FEATURES_TOO_OLD: StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_MAX_AGE_INVALID: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_STALENESS_POLICY_UNKNOWN: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_IDS_EMPTY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_IDS_TOO_MANY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_TIMEOUT_INVALID: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_SHUTTING_DOWN: StatusCode.UNAVAILABLE,
    ErrorReason.ERROR_REASON_CREDENTIALS_INVALID: StatusCode.UNAUTHENTICATED,
    ErrorReason.ERROR_REASON_PERMISSION_DENIED: StatusCode.PERMISSION_DENIED,
    ErrorReason.ERROR_REASON_ENTITY_KEY_MISSING: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_ENTITY_KEY_UNKNOWN: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_REQUEST_DATA_MISSING: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_REQUEST_DATA_UNKNOWN: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_ROWS_EMPTY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_ROWS_TOO_MANY: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_COLUMNS_RAGGED: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_USER_ENTITY_MISSING: StatusCode.FAILED_PRECONDITION,
    ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_FEATURE_NAME_CLASH: StatusCode.INVALID_ARGUMENT,
    ErrorReason.ERROR_REASON_RATE_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    ErrorReason.ERROR_REASON_CREDENTIALS_UNVERIFIABLE: StatusCode.UNAVAILABLE,
}
"""The gRPC code of each reason that the API knows."""

HTTP_STATUSES: Mapping[StatusCode, HTTPStatus] = {
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.PRECONDITION_FAILED,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
"""The HTTP status of each of these codes; no two are alike."""


def name_of(reason: ErrorReason.ValueType) -> str:
    """Return a reason as metrics and log have it."""
    return ErrorReason.Name(reason).removeprefix("ERROR_REASON_")


class StartError(Exception):
    """The gateway can't start; the message says why and what to change."""


class GatewayError(Exception):
    """A call failed; the message is for the caller."""

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str,
        *,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Create an error; `field` is the request field at fault, `metadata` ErrorInfo's.

        Message and metadata are clipped to what every gRPC client takes in trailers.
        """
        message = clipped(message)
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = clipped_metadata(metadata or {})
        self.retry_after_s = retry_after_s

        self.feature_server: str | None = None
        """The URL of the feature server that failed, for the log; None where none did."""

    @property
    def code(self) -> StatusCode:
        """The gRPC code of the reason."""
        return CODES[self.reason]

    @property
    def http_status(self) -> HTTPStatus:
        """The HTTP status of the reason."""
        return HTTP_STATUSES[self.code]


class OneRowError(GatewayError):
    """An error of one row alone: the other rows of the same read or batch are answered."""


class WrongValueError(OneRowError):
    """The feature server has a value in this row that is not of its contract's type."""

    def __init__(self, message: str) -> None:
        """Create an error with the reason UPSTREAM_MISMATCH; the message must be without the value."""
        super().__init__(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, message)


class _OneReasonError(GatewayError):
    """An error that is caught by its class, which has one reason."""

    _REASON: ClassVar[ErrorReason.ValueType]

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(self._REASON, message, metadata=metadata)


class DeadlineExceededError(_OneReasonError):
    """The call's time ran out before the feature server had answered."""

    _REASON = ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED


class UpstreamUnavailableError(_OneReasonError):
    """The feature server could not be reached, or could not read its online store."""

    _REASON = ErrorReason.ERROR_REASON_UPSTREAM_UNAVAILABLE


class RejectedRowError(OneRowError):
    """The feature server does not answer for a row; which of a read's rows, shows when they are read apart."""


class RejectedUpstreamError(_OneReasonError, RejectedRowError):
    """The feature server can't read what was asked for this row."""

    _REASON = ErrorReason.ERROR_REASON_REJECTED_UPSTREAM


class TransformationFailedError(_OneReasonError, RejectedRowError):
    """The function of an on-demand feature view raised for this row; servers and stores are well."""

    _REASON = ErrorReason.ERROR_REASON_TRANSFORMATION_FAILED


class FeaturesTooOldError(_OneReasonError, OneRowError):
    """Features are older than their maximum age, and the request's policy is to fail."""

    _REASON = ErrorReason.ERROR_REASON_FEATURES_TOO_OLD


class CredentialsRefusedError(GatewayError):
    """The feature server refuses the call's credentials, and works itself.

    The reason is CREDENTIALS_INVALID or PERMISSION_DENIED.
    """


def as_gateway_error(error: Exception) -> GatewayError:
    """Return the error itself if callers may see it, otherwise an INTERNAL error that reveals nothing of it."""
    return (
        error if isinstance(error, GatewayError) else GatewayError(ErrorReason.ERROR_REASON_INTERNAL, INTERNAL_MESSAGE)
    )
