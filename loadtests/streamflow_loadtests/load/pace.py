"""The open loop's schedule: when calls are due, and how late the generator itself began them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow_loadtests.load.recorder import Durations

LATE_MS = 10.0
"""A call that begins later than this after it was due is the generator's fault to tell of."""

KEPT_SHARE = 0.95
"""A generator that has begun less of the calls that were due has not kept its rate."""


@dataclass
class Lateness:
    """How well generators kept to their schedules."""

    begun: Durations = field(default_factory=Durations)
    """Of each call that was begun, how long after it was due."""

    missed: int = 0
    """Calls that were due and had not begun when the run ended."""

    def merge(self, other: "Lateness") -> None:
        """Count another generator's too."""
        self.begun.merge(other.begun)
        self.missed += other.missed

    @property
    def due(self) -> int:
        """How many calls were due."""
        return self.begun.total + self.missed

    @property
    def kept(self) -> bool:
        """Whether the rate was that which was asked for."""
        return self.begun.total >= KEPT_SHARE * self.due

    @property
    def late(self) -> int:
        """How many calls began late, or never."""
        return self.begun.over(LATE_MS) + self.missed

    def drain(self) -> list[Any]:
        """Return it in msgpack's types, and begin anew."""
        wire = [self.begun.to_wire(), self.missed]
        self.begun, self.missed = Durations(), 0
        return wire

    @classmethod
    def of_wire(cls, wire: Sequence[Any]) -> "Lateness":
        """Return what `drain` gave."""
        return cls(Durations.of_wire(wire[0]), wire[1])

    def __str__(self) -> str:
        begun = self.begun
        return (
            f"{self.due:,} calls were due, {begun.total:,} begun; {self.late:,} were late by more than {LATE_MS:g} ms; "
            f"lateness {begun.percentile(0.5):.1f} ms (p50), {begun.percentile(0.99):.1f} ms (p99), "
            f"{begun.max_ms:.0f} ms (max)"
        )


class Schedule:
    """One user's calls: at even distances from a first moment, whatever becomes of them."""

    def __init__(self, *, calls_per_s: float, now_s: float, phase: float) -> None:
        """Begin within one distance from `now_s`: at `phase`, 0 to 1, of it. Any clock will do, in seconds."""
        self._distance_s = 1 / calls_per_s
        self._first_s = now_s + phase * self._distance_s
        self._given = 0

    @property
    def next_s(self) -> float:
        """When the next call is due."""
        # From the first one, so that no error adds up.
        return self._first_s + self._given * self._distance_s

    def take(self) -> float:
        """Return when the next call is due, and go on to the one after it."""
        due_s = self.next_s
        self._given += 1
        return due_s

    def missed(self, now_s: float) -> int:
        """Return how many calls are due that were not taken."""
        return max(int((now_s - self.next_s) / self._distance_s) + 1, 0) if now_s >= self.next_s else 0
