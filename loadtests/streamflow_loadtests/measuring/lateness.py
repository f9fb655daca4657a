"""How late a load client began its calls, and what its lateness makes of a measurement."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow_loadtests.measuring.durations import Durations

LATE_MS = 10.0
"""A call that begins later than this after it was due is counted as late."""

LATE_SHARE = 0.01
"""With more late calls than this share, the figures are those of the client."""

KEPT_SHARE = 0.95
"""A client that began less than this share of the calls that were due did not keep its rate."""


@dataclass
class Lateness:
    """How well load clients kept to their schedules."""

    begun: Durations = field(default_factory=Durations)
    """For each call that began: how long after it was due."""

    missed: int = 0
    """Calls that were due and had not begun when the run ended."""

    def merge(self, other: "Lateness") -> None:
        """Add another client's lateness."""
        self.begun.merge(other.begun)
        self.missed += other.missed

    @property
    def due(self) -> int:
        """How many calls were due."""
        return self.begun.total + self.missed

    @property
    def kept(self) -> bool:
        """Whether the client kept the rate that was asked for."""
        return self.begun.total >= KEPT_SHARE * self.due

    @property
    def late(self) -> int:
        """How many calls began late, or never."""
        return self.begun.over(LATE_MS) + self.missed

    @property
    def often(self) -> bool:
        """Whether so many calls were late that the figures are those of the client."""
        return self.late > LATE_SHARE * self.due

    def voids(self, *, excess_s: float) -> str | None:
        """Return why a measurement is void whose worst call exceeded its limit by `excess_s`; None when it is valid.

        Durations count from when calls were due, so a limit that was kept was kept in spite of a late client. A limit
        exceeded by no more than the client's worst stall may have been exceeded by the client alone.
        """
        if self.often:
            return f"void: the load client began {self.late:,} of {self.due:,} calls more than {LATE_MS:g} ms late"
        if 0 < excess_s * 1000 <= self.begun.max_ms:
            return (
                f"void: the limit was exceeded by {excess_s * 1000:.0f} ms, and the load client stalled for "
                f"{self.begun.max_ms:.0f} ms"
            )
        return None

    def drain(self) -> list[Any]:
        """Return it in msgpack's types, and start again."""
        wire = [self.begun.to_wire(), self.missed]
        self.begun, self.missed = Durations(), 0
        return wire

    @classmethod
    def of_wire(cls, wire: Sequence[Any]) -> "Lateness":
        """Return what `drain` returned."""
        return cls(Durations.of_wire(wire[0]), wire[1])

    def __str__(self) -> str:
        begun = self.begun
        return (
            f"{self.due:,} calls were due, {begun.total:,} begun; {self.late:,} were late by more than {LATE_MS:g} ms; "
            f"lateness {begun.percentile(0.5):.1f} ms (p50), {begun.percentile(0.99):.1f} ms (p99), "
            f"{begun.max_ms:.0f} ms (max)"
        )
