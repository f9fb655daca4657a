"""What a call says of who makes it."""

from collections.abc import Callable

Authorization = str | Callable[[], str]
"""The value of the `authorization` metadata, such as "Bearer …", or what returns it, asked before each call."""

_Metadata = tuple[tuple[str, str], ...]


def call_metadata(authorization: Authorization | None) -> Callable[[], _Metadata]:
    """Return what returns a call's metadata; that raises ValueError for a value that is no header's."""
    if authorization is None:
        return _none
    if callable(authorization):
        current = authorization
        return lambda: _metadata(current())
    constant = _metadata(authorization)
    return lambda: constant


def _none() -> _Metadata:
    return ()


def _metadata(authorization: str) -> _Metadata:
    # gRPC's own refusal shows the value, which is a secret, and comes as an error of the channel's.
    if not authorization or not (authorization.isascii() and authorization.isprintable()):
        raise ValueError("the authorization is empty, or not printable ASCII on one line")
    return (("authorization", authorization),)
