"""What was measured of calls: what each costs, and what calls at several rates met."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


class CostsError(Exception):
    """A file of costs can't be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a call, a read and a user take of a core and of time, and what the processes take of memory."""

    features: int
    """Features asked for of each user."""

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
    """Time of a read without its users, from the gateway and back."""

    read_time_user_s: float
    """Time that each user adds to a read."""

    gateway_rss_mb: float
    """Memory of a gateway after load."""

    feature_server_rss_mb: float
    """Memory of a feature server with its master process after load; shared memory is counted once."""

    store_user_bytes: float
    """Valkey's memory for each user."""

    reply_bytes: float
    """Size of a reply for one user, without HTTP/2's headers."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What calls of one user at a fixed rate met, in an open loop in front of one gateway and one feature server."""

    calls_per_s: float
    p50_s: float
    p99_s: float
    """Both from when the calls were due."""

    users_a_read: float
    gateway_cores: float
    feature_server_cores: float

    late_s: float
    """The longest that the load client was late."""

    void: bool
    """Whether the load client was late so often that the times say nothing of the servers."""

    @property
    def busiest(self) -> float:
        """How many cores the busier of the two processes used; a process can use one."""
        return max(self.gateway_cores, self.feature_server_cores)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A file of `capacity measure`."""

    costs: Costs
    points: tuple[Point, ...]

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Return what `capacity measure --json` wrote. Raises CostsError."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(costs=Costs(**content["costs"]), points=tuple(Point(**point) for point in content["points"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CostsError(
                f"{path} holds no costs ({error}); write it with `capacity measure --json {path}`"
            ) from error

    def as_json(self) -> dict[str, Any]:
        """Return the content for a file."""
        return asdict(self)
