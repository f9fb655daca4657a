"""The metadata that a call carries: its credentials, and what the client adds."""

from collections.abc import Callable
from pathlib import Path

Authorization = str | Callable[[], str]
"""The value of the `authorization` metadata, such as "Bearer …", or a function that returns the value. The client calls
the function before each call."""

Metadata = tuple[tuple[str, str], ...]


def call_metadata(authorization: Authorization | None, *, besides: Metadata = ()) -> Callable[[], Metadata]:
    """Return a function that returns a call's metadata.

    Raises ValueError for a value that can't be a header: at once, or in the returned function when the value comes from
    a function.
    """
    if callable(authorization):
        current = authorization
        return lambda: (*_metadata(current()), *besides)
    constant = besides if authorization is None else (*_metadata(authorization), *besides)
    return lambda: constant


class TokenFile:
    """The authorization of a token in a file. The file is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        """Creates the authorization. The file is read at the first call."""
        self._path = path
        self._read: tuple[tuple[int, int], str] | None = None

    def __call__(self) -> str:
        """Return the authorization. Raises OSError for a file that can't be read."""
        status = self._path.stat()
        version = (status.st_mtime_ns, status.st_ino)
        if self._read is None or self._read[0] != version:
            self._read = (version, f"Bearer {self._path.read_text(encoding='utf-8').strip()}")
        return self._read[1]


def _metadata(authorization: str) -> Metadata:
    # gRPC's own error message contains the value, which is a secret, and blames the channel.
    if not authorization or not (authorization.isascii() and authorization.isprintable()):
        raise ValueError("the authorization is empty, or not printable ASCII on one line")
    return (("authorization", authorization),)
