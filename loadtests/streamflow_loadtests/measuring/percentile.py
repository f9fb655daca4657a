"""Percentiles of durations."""

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ascending values that `share`, 0 to 1, of them do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
