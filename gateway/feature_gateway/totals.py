"""What the metrics have counted since the start, for who compares two moments; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from feature_gateway.histogram import Observations


class Totals(NamedTuple):
    """Counts. Those of durations are by bound, as `Observations.counts` has them."""

    errors: Mapping[str, int]
    """Calls that ended with an error, by reason."""

    calls: tuple[int, ...]
    """How long calls of all methods took."""

    queue: tuple[int, ...]
    """How long rows waited for a read to start."""

    reads: tuple[int, ...]
    """How long the feature servers took for reads."""

    lag: tuple[int, ...]
    """How late the event loop was."""


def summed(observations: Iterable[Observations]) -> tuple[int, ...]:
    """Return the counts of several observations of the same bounds, together."""
    return tuple(map(sum, zip(*(each.counts for each in observations), strict=True)))
