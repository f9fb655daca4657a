"""What became of every call, second by second: enough for percentiles, small enough to be sent to a master."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
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


@dataclass
class Cell:
    """The calls of one kind that were due in one second."""

    durations: Durations = field(default_factory=Durations)
    failures: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Cell") -> None:
        """Count all of another cell's too."""
        self.durations.merge(other.durations)
        self.failures.update(other.failures)

    @property
    def calls(self) -> int:
        """How many calls ended, failed ones included."""
        return self.durations.total

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return self.failures.total()

    @property
    def error_rate(self) -> float:
        """The share of failed calls; 0 without calls."""
        return self.failed / self.calls if self.calls else 0.0


class Recorder:
    """The cells of a run by second (Unix time) and kind of call."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, str], Cell] = {}
        self._first_s, self._last_s = math.inf, -math.inf

    @property
    def duration_s(self) -> float:
        """The time from when the first call was due to the end of the last; 0 without calls."""
        return max(self._last_s - self._first_s, 0.0)

    def add(self, name: str, *, due_at_s: float, duration_ms: float, failure: str | None) -> None:
        """Count one call that was due at a Unix time, and what it failed with if it did."""
        self._extend(due_at_s, due_at_s + duration_ms / 1000)
        cell = self._cells.setdefault((int(due_at_s), name), Cell())
        cell.durations.add(duration_ms)
        if failure is not None:
            cell.failures[failure] += 1

    def clear(self) -> None:
        """Forget all calls."""
        self._cells.clear()
        self._first_s, self._last_s = math.inf, -math.inf

    def drain(self) -> list[Any]:
        """Return all cells in msgpack's types, and forget them."""
        cells = [
            [second, name, cell.durations.to_wire(), list(cell.failures.items())]
            for (second, name), cell in self._cells.items()
        ]
        wire = [self._first_s, self._last_s, cells]
        self.clear()
        return wire

    def merge(self, wire: Sequence[Any]) -> None:
        """Count what another recorder has drained."""
        first_s, last_s, cells = wire
        self._extend(first_s, last_s)
        for second, name, durations, failures in cells:
            cell = Cell(Durations.of_wire(durations), Counter(dict(failures)))
            self._cells.setdefault((second, name), Cell()).merge(cell)

    def names(self) -> list[str]:
        """Return all kinds of calls, in order."""
        return sorted({name for _, name in self._cells})

    def by_second(self, name: str) -> Mapping[int, Cell]:
        """Return one kind's cells."""
        return {second: cell for (second, kind), cell in sorted(self._cells.items()) if kind == name}

    def total(self, name: str) -> Cell:
        """Return all calls of one kind."""
        total = Cell()
        for cell in self.by_second(name).values():
            total.merge(cell)
        return total

    def _extend(self, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = min(self._first_s, first_s), max(self._last_s, last_s)
