"""What callers are told whom the gateway does not let in: no more than they need."""

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import GatewayError


class CredentialsError(Exception):
    """Credentials are not valid; the message says why, for the log at level DEBUG alone, and quotes none of them."""


class UnknownKeyError(CredentialsError):
    """A token is signed with a key that is not known, or not yet."""


class NoKeysError(Exception):
    """There are no keys to check a token with."""


def unauthenticated() -> GatewayError:
    """Return the error of a call whose credentials are missing or not valid, whatever is wrong with them."""
    return GatewayError(
        ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, "The call's credentials are missing, or not valid."
    )


def unverifiable() -> GatewayError:
    """Return the error of a call whose credentials can't be checked now."""
    return GatewayError(
        ErrorReason.ERROR_REASON_CREDENTIALS_UNVERIFIABLE,
        "The gateway can't check credentials at the moment.",
        retry_after_s=1.0,
    )


def denied() -> GatewayError:
    """Return the error of a call for what its identity may not read, whether it exists or not."""
    return GatewayError(ErrorReason.ERROR_REASON_PERMISSION_DENIED, "These credentials may not read this.")


def rate_limited(retry_after_s: float) -> GatewayError:
    """Return the error of a call beyond what its identity may ask in a second."""
    return GatewayError(
        ErrorReason.ERROR_REASON_RATE_LIMITED,
        "This identity has used up its calls or users of a second.",
        retry_after_s=retry_after_s,
    )
