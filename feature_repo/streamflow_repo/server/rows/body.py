"""Takes the body of a request from an ASGI server."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


class TooLargeError(Exception):
    """More was sent or asked for than is allowed."""


class DisconnectedError(Exception):
    """The caller has gone before all of the body was there."""


async def body_of(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], max_bytes: int) -> bytes:
    """Return the body. Raises TooLargeError as soon as it has more than `max_bytes`, and DisconnectedError."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError("the caller has gone")
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise TooLargeError(f"the body is larger than {max_bytes} bytes")
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)
