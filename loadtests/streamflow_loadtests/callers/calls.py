"""A call: its request, what its reply says, and who makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streamflow_features import Value

CALL_TIMEOUT_S = 30.0
"""The deadline of a call that is given no other."""

Values = Mapping[str, Value]
"""One user's values by feature name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that is ready to be sent."""

    user_ids: Sequence[str]

    path: str
    """gRPC's "/SERVICE/METHOD", or an HTTP path with its query."""

    body: bytes
    """A gRPC message or JSON; empty for HTTP's GET."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a reply says of one user."""

    user_id: str
    values: Values

    user_known: bool = True
    """Whether anything is known of the user; True from servers that don't say."""

    not_found: frozenset[str] = frozenset()
    """The features whose status is NOT_FOUND; empty from servers that give no status."""


class Api(Protocol):
    """How one kind of server is asked and answers. None of it is on the clock."""

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one or more users."""

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what a reply's bytes say, one user after another. Raises CallError for a malformed reply."""


class Transport(Protocol):
    """Connections to one server. Only `send` is on the clock: bytes out, bytes in."""

    resends: int
    """How often a request was sent again because the server had closed the connection."""

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """Return all bytes of the reply. Raises CallError."""

    async def close(self) -> None:
        """Close the connections."""


class Caller(Protocol):
    """An API and a transport together, or the project's own client. `send` alone is on the clock."""

    @property
    def resends(self) -> int:
        """How often a request was sent again because the server had closed the connection."""

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one or more users."""

    async def send(self, request: Request, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Return the reply as `replies` takes it. Raises CallError."""

    def replies(self, request: Request, reply: Any) -> Sequence[Reply]:
        """Return what a reply says, one user after another. Raises CallError for a malformed reply."""

    async def close(self) -> None:
        """Close the connections."""


class ApiCaller:
    """Calls of one API over one transport."""

    def __init__(self, api: Api, transport: Transport) -> None:
        self.request = api.request
        self.replies = api.replies
        self.send = transport.send
        self.close = transport.close
        self._transport = transport

    @property
    def resends(self) -> int:
        """How often a request was sent again because the server had closed the connection."""
        return self._transport.resends
