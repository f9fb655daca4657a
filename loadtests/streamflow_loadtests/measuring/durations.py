"""Durations, few enough numbers to be sent to another process."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# Neighbouring durations of a histogram are 2 % apart, so that a percentile is off by 1 % at most.
_GROWTH = math.log(1.02)
_SMALLEST_MS = 0.001


@dataclass
class Durations:
    """A histogram of durations, in milliseconds."""

    counts: Counter[int] = field(default_factory=Counter)
    max_ms: float = 0.0

    def add(self, duration_ms: float) -> None:
        """Count one duration."""
        self.counts[round(math.log(max(duration_ms, _SMALLEST_MS)) / _GROWTH)] += 1
        self.max_ms = max(self.max_ms, duration_ms)

    def merge(self, other: "Durations") -> None:
        """Count all of another histogram too."""
        self.counts.update(other.counts)
        self.max_ms = max(self.max_ms, other.max_ms)

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts.total()

    def percentile(self, share: float) -> float:
        """Return what `share`, 0 to 1, of the durations do not exceed; 0 without any."""
        left = max(math.ceil(share * self.total), 1)
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return min(math.exp(bucket * _GROWTH), self.max_ms)
        return 0.0

    def over(self, limit_ms: float) -> int:
        """Return how many were longer."""
        edge = math.log(max(limit_ms, _SMALLEST_MS)) / _GROWTH
        return sum(count for bucket, count in self.counts.items() if bucket > edge)

    def to_wire(self) -> list[Any]:
        """Return it in msgpack's types."""
        return [list(self.counts.items()), self.max_ms]

    @classmethod
    def of_wire(cls, wire: Sequence[Any]) -> "Durations":
        """Return what `to_wire` made."""
        return cls(Counter(dict(wire[0])), wire[1])
