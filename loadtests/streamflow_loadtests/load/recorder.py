"""What became of every call, second by second: enough for percentiles, small enough to be sent to a master."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow_loadtests.measuring.durations import Durations


@dataclass
class Counts:
    """The calls of one kind that were due in one second, or in all."""

    durations: Durations = field(default_factory=Durations)
    failures: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Counts") -> None:
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
        self._cells: dict[tuple[int, str], Counts] = {}
        self._first_s, self._last_s = math.inf, -math.inf

    @property
    def duration_s(self) -> float:
        """The time from when the first call was due to the end of the last; 0 without calls."""
        return max(self._last_s - self._first_s, 0.0)

    def add(self, name: str, *, due_at_s: float, duration_ms: float, failure: str | None) -> None:
        """Count one call that was due at a Unix time, and what it failed with if it did."""
        self._extend(due_at_s, due_at_s + duration_ms / 1000)
        cell = self._cells.setdefault((int(due_at_s), name), Counts())
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
            cell = Counts(Durations.of_wire(durations), Counter(dict(failures)))
            self._cells.setdefault((second, name), Counts()).merge(cell)

    def names(self) -> list[str]:
        """Return all kinds of calls, in order."""
        return sorted({name for _, name in self._cells})

    def by_second(self, name: str) -> Mapping[int, Counts]:
        """Return one kind's cells."""
        return {second: cell for (second, kind), cell in sorted(self._cells.items()) if kind == name}

    def total(self, name: str) -> Counts:
        """Return all calls of one kind."""
        total = Counts()
        for cell in self.by_second(name).values():
            total.merge(cell)
        return total

    def _extend(self, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = min(self._first_s, first_s), max(self._last_s, last_s)
