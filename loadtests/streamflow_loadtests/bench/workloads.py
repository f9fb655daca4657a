"""What is measured, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from streamflow_loadtests.bench.arm import Channel
from streamflow_loadtests.callers.channels import BareChannel, GrpcioChannel


@dataclass(frozen=True, kw_only=True, order=True)
class Workload:
    """What an arm is under."""

    users: int
    """How many each call asks for."""

    callers: int
    """How many there are at once, each with its next call when it has its last reply."""

    def __str__(self) -> str:
        callers = "1 caller" if self.callers == 1 else f"{self.callers} callers"
        return f"{callers}, {'1 user' if self.users == 1 else f'{self.users} users'} a call"


CALLERS = (1, 16, 64, 256)

DEFAULT_WORKLOADS = (
    *(Workload(users=1, callers=callers) for callers in CALLERS),
    *(Workload(users=users, callers=callers) for users in (10, 100) for callers in (1, 16, 64)),
)
"""Without 256 callers of 10 and 100 users: `feast serve` would be minutes at them."""

QUICK_WORKLOADS = (
    Workload(users=1, callers=1),
    Workload(users=1, callers=64),
    Workload(users=100, callers=1),
)
"""What the targets name."""


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What a run measures, and for how long."""

    arms: Sequence[str]
    workloads: Sequence[Workload]
    rounds: int

    duration_s: float
    """How long calls are begun for in each cell."""

    warm_up_s: float
    """The same load before each cell, not measured."""

    seed: int
    """The same seed draws the same users."""

    grpcio: bool = False
    """Whether gRPC's own client asks, instead of the bare client."""

    @property
    def channel(self) -> Channel:
        """What opens gRPC connections to a port."""
        return GrpcioChannel if self.grpcio else BareChannel


def crossed(*, users: Sequence[int], callers: Sequence[int]) -> list[Workload]:
    """Return every number of callers with every number of users a call; of all callers and one user if not given."""
    pairs = product(sorted(set(users)) or [1], sorted(set(callers)) or CALLERS)
    return [Workload(users=number, callers=count) for number, count in pairs]
