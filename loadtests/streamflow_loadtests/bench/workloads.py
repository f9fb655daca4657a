"""What an arm is under, and for how long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, kw_only=True, order=True)
class Workload:
    """What an arm is under."""

    users: int
    """How many each call asks for."""

    callers: int
    """How many there are at once, each with its next call when it has its last reply."""

    apart: bool = False
    """Whether each caller has a connection of its own, so that no client can merge their calls."""

    def __str__(self) -> str:
        callers = "1 caller" if self.callers == 1 else f"{self.callers} callers"
        apart = " with a connection each" if self.apart else ""
        return f"{callers}{apart}, {'1 user' if self.users == 1 else f'{self.users} users'} a call"


CALLERS = (1, 16, 64, 256)


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What a run measures, and for how long."""

    arms: Mapping[str, Sequence[Workload]]
    """What each arm is under, by the arms' names."""

    rounds: int

    duration_s: float
    """How long calls are begun for in each cell."""

    warm_up_s: float
    """The same load before each cell, not measured."""

    seed: int
    """The same seed draws the same users."""

    @property
    def workloads(self) -> Sequence[Workload]:
        """What any arm is under, each once."""
        return sorted({workload for each in self.arms.values() for workload in each})


def crossed(*, users: Sequence[int], callers: Sequence[int], apart: bool = False) -> list[Workload]:
    """Return every number of callers with every number of users a call; of all callers and one user if not given."""
    pairs = product(sorted(set(users)) or [1], sorted(set(callers)) or CALLERS)
    return [Workload(users=number, callers=count, apart=apart) for number, count in pairs]
