"""What an unsuccessful answer of `feast serve` means; pure.

Feast 0.67 has one handler for everything that goes wrong (`feature_server.py`): a 404 for its own not-found errors and
a 500 with the exception's text for the rest, the caller's faults as well as those of its stores. The texts are here;
a test compares them with a live server.
"""

import re
from http import HTTPStatus

import orjson
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import (
    CredentialsRefusedError,
    GatewayError,
    RejectedUpstreamError,
    UpstreamUnavailableError,
)

_MISMATCH = re.compile(r"not found in projection|does not exist|Invalid feature reference|No features specified")
_NOT_READY = re.compile(r"Feature view '([^']*)' is in state")
_REJECTED = re.compile(
    # utils.py: join keys without values; ids that are not text.
    r"Missing join key values|pop from an empty set|attribute name must be string"
    # protobuf: a value of a type, or with text, that a field can't hold.
    r"|bad argument type|but expected one of|surrogates not allowed"
)
_NOT_READY_RETRY_S = 1.0
_OF_THE_STORE = re.compile(
    r"(Error \d+ (while writing|connecting) to [^'\"]*|Timeout (reading|connecting)[^'\"]*"
    r"|Connection closed by server\.)$"
)


def failure_of(status: int, body: bytes) -> GatewayError:
    """Return the error that an answer other than 200 means.

    The gateway has checked the request against the contract, so an unknown view or feature means other definitions
    there: UPSTREAM_MISMATCH. RejectedUpstreamError is for one row's key alone. What is not recognised is the
    server's own fault: UpstreamUnavailableError.
    """
    text = _text(body)
    not_ready = _NOT_READY.search(text)
    if not_ready:
        return GatewayError(
            ErrorReason.ERROR_REASON_FEATURE_VIEW_NOT_READY,
            f"The feature view {not_ready[1]} can't be served yet; try again.",
            metadata={"feature_view": not_ready[1]},
            retry_after_s=_NOT_READY_RETRY_S,
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return CredentialsRefusedError(
            ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, "The feature server does not take the call's authorization."
        )
    if status == HTTPStatus.FORBIDDEN:
        return CredentialsRefusedError(
            ErrorReason.ERROR_REASON_PERMISSION_DENIED,
            "The feature server does not let these credentials read the features.",
        )
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY} or _MISMATCH.search(text):
        return GatewayError(
            ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH,
            "The feature server does not know what the contract has: apply the definitions and restart it.",
        )
    if _REJECTED.search(text):
        return RejectedUpstreamError("The feature server can't read the features of this key.")
    return UpstreamUnavailableError("The feature server could not read its online store.")


def known_words(body: bytes) -> str:
    """Return what an unsuccessful answer says in words that are Feast's or its store's own, for the log.

    An exception's text may have any value of a caller's or of the store's. What is not recognised is left out.
    """
    text = _text(body)
    if _OF_THE_STORE.match(text):
        return text
    known = _MISMATCH.search(text) or _REJECTED.search(text)
    return f"… {known[0]} …" if known else "words of its own, which are in its log"


def _text(body: bytes) -> str:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return content if isinstance(content, str) else body.decode(errors="replace")
