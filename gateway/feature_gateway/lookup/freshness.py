"""Judges whether values are too old, and applies the policy; pure."""

from dataclasses import replace
from enum import Enum

from feature_gateway.clipping import listed
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import FeaturesTooOldError
from feature_gateway.values import FeatureStatus, Row

_NS_PER_S = 1_000_000_000


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
    ages_s = _ages_of_old(read, row, feature_set, now_ns=now_ns, max_age_s=max_age_s)
    if not ages_s:
        return row
    if policy is StalenessPolicy.FAIL:
        ages = {feature_set.features[position].name: f"{age_s:.3f}" for position, age_s in ages_s.items()}
        raise FeaturesTooOldError(
            "Older than the maximum age: " + listed([f"{name} ({age_s} s)" for name, age_s in ages.items()]),
            metadata=ages,
        )
    statuses = tuple(
        FeatureStatus.OUTSIDE_MAX_AGE if position in ages_s else status for position, status in enumerate(row.statuses)
    )
    if policy is StalenessPolicy.FLAG:
        return replace(row, statuses=statuses)
    values = tuple(None if position in ages_s else value for position, value in enumerate(row.values))
    return replace(row, values=values, statuses=statuses)


def _ages_of_old(
    read: Row, row: Row, feature_set: FeatureSet, *, now_ns: int, max_age_s: float | None
) -> dict[int, float]:
    """Return the age in seconds of each value that is too old, by its position."""

    def age_s(feature: ContractFeature, stamp_ns: int | None) -> float:
        """Return the age, or -1 if it is not too old."""
        limit_s = feature.max_age_s if max_age_s is None else max_age_s
        if limit_s is None or stamp_ns is None:
            return -1.0
        age_s = (now_ns - stamp_ns) / _NS_PER_S
        return age_s if age_s > limit_s else -1.0

    ages_s = [age_s(*pair) for pair in zip(feature_set.features, row.event_timestamps_ns, strict=True)]
    for position, sources in feature_set.sources_in_row:
        read_features = feature_set.read_set.read_features
        of_sources = (age_s(read_features[source], read.event_timestamps_ns[source]) for source in sources)
        ages_s[position] = max(of_sources, default=-1.0)
    return {
        position: age
        for position, (age, status) in enumerate(zip(ages_s, row.statuses, strict=True))
        if age >= 0 and status is FeatureStatus.PRESENT
    }
