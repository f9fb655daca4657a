"""The credentials that a call carries."""

from collections.abc import Callable

Authorization = str | Callable[[], str]
"""The value of the `authorization` metadata, such as "Bearer …", or a function that returns the value. The client calls
the function before each call."""

_Metadata = tuple[tuple[str, str], ...]


def call_metadata(authorization: Authorization | None) -> Callable[[], _Metadata]:
    """Return a function that returns a call's metadata.

    Raises ValueError for a value that can't be a header: at once, or in the returned function when the value comes from
    a function.
    """
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
    # gRPC's own error message contains the value, which is a secret, and blames the channel.
    if not authorization or not (authorization.isascii() and authorization.isprintable()):
        raise ValueError("the authorization is empty, or not printable ASCII on one line")
    return (("authorization", authorization),)
