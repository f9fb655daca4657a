"""Judges whether values are too old, and applies the policy; pure."""

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from feature_gateway.clipping import listed
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.encoding import NS_PER_S
from feature_gateway.errors import FeaturesTooOldError
from feature_gateway.values import FeatureStatus, Judgement, Row

# A month's snapshot gives all rows the same timestamps, so few judgements are in use at a time.
_MAX_REMEMBERED = 4096


class StalenessPolicy(Enum):
    """What happens to a value older than its maximum age."""

    FLAG = 1
    """The value is kept, with the status OUTSIDE_MAX_AGE."""

    OMIT = 2
    """The value is left out, with the status OUTSIDE_MAX_AGE."""

    FAIL = 3
    """The call fails, and names the features and their ages."""


def judged(read: Row, feature_set: FeatureSet, *, now_ns: int, max_age_s: float | None, policy: StalenessPolicy) -> Row:
    """Return the features of a row that was read, with the policy applied to values that are too old.

    `max_age_s` applies to all features; None applies each view's own maximum age. A value of exactly that age is
    not too old. An on-demand feature is too old if a row that it is computed from is. Raises FeaturesTooOldError under
    the policy FAIL.
    """
    positions = feature_set.read_positions
    row = read if positions is None else read.in_order(positions)
    if max_age_s is None and not feature_set.read_set.any_max_age:
        return row
    ageing = _ageing(feature_set, read.judgement, max_age_s)
    # How many are too old; the first is the next to be.
    count = bisect_left(ageing.times_ns, now_ns)
    if count == 0:
        return row
    old = ageing.positions[:count]
    if policy is StalenessPolicy.FAIL:
        ages = {feature_set.features[at].name: f"{ageing.age_s(at, now_ns):.3f}" for at in sorted(old)}
        raise FeaturesTooOldError(
            "Older than the maximum age: " + listed([f"{name} ({age_s} s)" for name, age_s in ages.items()]),
            metadata=ages,
        )
    judgement = _flagged(row.judgement, old)
    if policy is StalenessPolicy.FLAG:
        return Row(row.values, judgement)
    return Row(tuple(None if at in old else value for at, value in enumerate(row.values)), judgement)


@dataclass(frozen=True, slots=True)
class _Ageing:
    """When the values of a judgement turn too old, unless they never do."""

    times_ns: tuple[int, ...]
    """The last time at which each of them is not too old, in nanoseconds since 1970, UTC; the first comes first."""

    positions: tuple[int, ...]
    """Their positions, in the same order."""

    clocks: dict[int, list[tuple[int, int]]]
    """By position: the event timestamp of each row that the value depends on, and the last time of that row."""

    def age_s(self, position: int, now_ns: int) -> float:
        """Return the age in seconds of a value that is too old: that of the oldest of its rows that are."""
        return max((now_ns - stamp_ns) / NS_PER_S for stamp_ns, last_ns in self.clocks[position] if last_ns < now_ns)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _ageing(feature_set: FeatureSet, read: Judgement, max_age_s: float | None) -> _Ageing:
    read_features = feature_set.read_set.read_features

    def clocks_of(sources: tuple[int, ...]) -> list[tuple[int, int]]:
        found = []
        for source in sources:
            limit_s = read_features[source].max_age_s if max_age_s is None else max_age_s
            stamp_ns = read.event_timestamps_ns[source]
            if limit_s is not None and stamp_ns is not None:
                found.append((stamp_ns, stamp_ns + int(limit_s * NS_PER_S)))
        return found

    read_positions = feature_set.read_positions or range(len(feature_set.features))
    clocks = {position: clocks_of((source,)) for position, source in enumerate(read_positions)}
    clocks |= {position: clocks_of(sources) for position, sources in feature_set.sources_in_row}
    present = [at for at, source in enumerate(read_positions) if read.statuses[source] is FeatureStatus.PRESENT]
    times = sorted((min(last_ns for _, last_ns in clocks[at]), at) for at in present if clocks[at])
    return _Ageing(tuple(last_ns for last_ns, _ in times), tuple(at for _, at in times), clocks)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _flagged(judgement: Judgement, old: tuple[int, ...]) -> Judgement:
    statuses = tuple(
        FeatureStatus.OUTSIDE_MAX_AGE if position in old else status
        for position, status in enumerate(judgement.statuses)
    )
    return Judgement(statuses, judgement.event_timestamps_ns, judgement.known)
