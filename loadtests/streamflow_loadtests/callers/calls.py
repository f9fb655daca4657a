"""A call: what its reply says, and who makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from streamflow_features import Value

CALL_TIMEOUT_S = 30.0
"""The deadline of a call that is given no other."""

Values = Mapping[str, "Value"]
"""One user's values by feature name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request of a locust user, as bytes."""

    user_ids: Sequence[str]

    path: str
    """gRPC's "/SERVICE/METHOD", or an HTTP path with its query."""

    body: bytes
    """A gRPC message or JSON; empty for HTTP's GET."""


class Reply(NamedTuple):
    """What a reply says of one user."""

    user_id: str
    values: Values

    user_known: bool = True
    """Whether anything is known of the user; True from servers that don't say."""

    not_found: frozenset[str] = frozenset()
    """The features whose status is NOT_FOUND; empty from servers that give no status."""


class Api(Protocol):
    """How a locust user asks one kind of server, and reads its replies."""

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for one or more users."""

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what a reply's bytes say, one user after another. Raises CallError for a malformed reply."""


class Caller(Protocol):
    """A client that people use, connected to one kind of server."""

    @property
    def resends(self) -> int:
        """How often a request was sent again because the server had closed the connection."""

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return one or more users' values, decoded, in the order asked. Raises CallError."""

    async def close(self) -> None:
        """Close the connections."""
