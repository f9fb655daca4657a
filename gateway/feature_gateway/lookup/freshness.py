"""Judges whether values are too old, and applies the policy; pure."""

from dataclasses import replace
from enum import Enum

from feature_gateway.clipping import listed
from feature_gateway.contract.model import FeatureSet
from feature_gateway.errors import FeaturesTooOldError
from feature_gateway.values import FeatureStatus, UserRow

_NS_PER_S = 1_000_000_000


class StalenessPolicy(Enum):
    """What happens to a value older than its maximum age."""

    FLAG = 1
    """The value is kept, with the status OUTSIDE_MAX_AGE."""

    OMIT = 2
    """The value is left out, with the status OUTSIDE_MAX_AGE."""

    FAIL = 3
    """The call fails, and names the features and their ages."""


def judged(
    row: UserRow, feature_set: FeatureSet, *, now_ns: int, max_age_s: float | None, policy: StalenessPolicy
) -> UserRow:
    """Return a row with the policy applied to values that are too old.

    `max_age_s` applies to all features; None applies each view's own maximum age. A value of exactly that age is
    not too old. Raises FeaturesTooOldError under the policy FAIL.
    """
    ages_s = _ages_of_old(row, feature_set, now_ns, max_age_s)
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


def _ages_of_old(row: UserRow, feature_set: FeatureSet, now_ns: int, max_age_s: float | None) -> dict[int, float]:
    """Return the age in seconds of each value that is too old, by its position."""
    if max_age_s is None and not feature_set.any_max_age:
        return {}
    ages_s = {}
    for position, (feature, status, stamp_ns) in enumerate(
        zip(feature_set.features, row.statuses, row.event_timestamps_ns, strict=True)
    ):
        limit_s = feature.max_age_s if max_age_s is None else max_age_s
        if limit_s is None or status is not FeatureStatus.PRESENT or stamp_ns is None:
            continue
        age_s = (now_ns - stamp_ns) / _NS_PER_S
        if age_s > limit_s:
            ages_s[position] = age_s
    return ages_s
