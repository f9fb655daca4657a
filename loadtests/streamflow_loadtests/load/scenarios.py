"""The scenarios: what is asked, and how much of the load there is at each moment of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What one call asks for."""

    ONE = "1 user"
    BATCH = "a batch of users"
    HOT = "1 hot user"
    UNKNOWN = "1 unknown user"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is asked, and when."""

    what: str
    """In a few words, for the command line and the web page."""

    asks: Mapping[Kind, float]
    """Kinds of calls and how often each is drawn."""

    level: Callable[[float], float]
    """The share of the load, 0 to 1, at a share of the run's time."""

    duration_s: float
    """How long a run without a given time takes."""


def _steady(_done: float) -> float:
    return 1.0


def _ramp(done: float) -> float:
    return max(done, 0.05)


def _spike(done: float) -> float:
    return 1.0 if 0.4 <= done < 0.6 else 0.2  # noqa: PLR2004  # the middle fifth


_MIXED = {Kind.ONE: 0.8, Kind.BATCH: 0.15, Kind.UNKNOWN: 0.05}

SCENARIOS: Mapping[str, Scenario] = {
    "single": Scenario(what="one user a call", asks={Kind.ONE: 1}, level=_steady, duration_s=30),
    "batch": Scenario(what="--batch-size users a call", asks={Kind.BATCH: 1}, level=_steady, duration_s=30),
    "mixed": Scenario(
        what="80 % one user, 15 % a batch, 5 % an unknown user", asks=_MIXED, level=_steady, duration_s=30
    ),
    "hot-keys": Scenario(
        what="one user a call, few of them asked for most (Zipf)", asks={Kind.HOT: 1}, level=_steady, duration_s=30
    ),
    "unknown": Scenario(
        what="one user a call that the store does not have", asks={Kind.UNKNOWN: 1}, level=_steady, duration_s=30
    ),
    "ramp": Scenario(what="mixed, from 5 % of the load to all of it", asks=_MIXED, level=_ramp, duration_s=120),
    "spike": Scenario(
        what="mixed, a fifth of the load, and all of it in the middle fifth", asks=_MIXED, level=_spike, duration_s=60
    ),
    "soak": Scenario(what="mixed, for half an hour", asks=_MIXED, level=_steady, duration_s=1800),
}
