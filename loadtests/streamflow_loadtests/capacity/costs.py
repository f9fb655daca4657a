"""What calls cost, as measured once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

MAX_BATCH_SIZE = 64
"""The most users of a read: the gateway's default."""


class CostsError(Exception):
    """A file of costs can't be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a call, a read and a user take of a core and of time, and what the processes take of memory."""

    features: int
    """How many features of a user were asked for."""

    gateway_call_s: float
    """Of a core of the gateway, for each call of one user."""

    gateway_read_s: float
    """Of a core of the gateway, for each read of a feature server."""

    feature_server_read_s: float
    """Of a core of a feature server, for each read."""

    feature_server_user_s: float
    """Of a core of a feature server, for each user of a read."""

    store_user_s: float
    """Of Valkey's core, for each user."""

    read_time_s: float
    """That a read of no user would take from the gateway and back, at rest."""

    read_time_user_s: float
    """That each user adds to a read's time."""

    call_time_s: float
    """That a call takes beside the gateway's core and its read: the client, gRPC, switching between processes."""

    gateway_rss_mb: float
    """Of a gateway after load."""

    feature_server_rss_mb: float
    """Of a feature server with its master process, after load; what forked processes share is counted once."""

    store_user_bytes: float
    """Of Valkey's memory, for each user."""

    reply_bytes: float
    """Of a reply for one user, without HTTP/2's headers."""

    def read_s(self, users: float) -> float:
        """Return how long a read of some users takes."""
        return self.read_time_s + users * self.read_time_user_s

    def gateway_s(self, users: float) -> float:
        """Return what of a core a gateway takes for a user, in reads of so many."""
        return self.gateway_call_s + self.gateway_read_s / users

    def feature_server_s(self, users: float) -> float:
        """Return what of a core a feature server takes for a user, in reads of so many."""
        return self.feature_server_user_s + self.feature_server_read_s / users

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Return the costs of a file that `capacity measure` has written. Raises CostsError."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**content["costs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CostsError(
                f"{path} holds no costs ({error}); write it with `capacity measure --json {path}`"
            ) from error

    def as_json(self) -> dict[str, float]:
        """Return them by name."""
        return asdict(self)
