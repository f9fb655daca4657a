"""What the gateway is to reach beside Feast's own servers, and whether it did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from streamflow_loadtests.bench.figures import Cell, Spread, ratios
from streamflow_loadtests.bench.servers import GATEWAY, shortest
from streamflow_loadtests.bench.workloads import Workload


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound of one arm's ratio to another's, in the same round: the median over the rounds is held to it."""

    what: str
    figure: str
    """One of RATIOS."""

    of: str
    against: str
    """The arms."""

    workload: Workload
    bound: Literal["≥", "≤"]
    limit: str
    """A decimal number or a fraction."""

    def holds(self, ratio: float) -> bool:
        """Return whether a ratio is within the bound."""
        limit = float(Fraction(self.limit))
        return ratio >= limit if self.bound == "≥" else ratio <= limit


def _calls(limit: str, against: str, *, of: str = GATEWAY, callers: int = 64, users: int = 1) -> Target:
    workload = Workload(users=users, callers=callers)
    return Target(
        what="throughput", figure="calls_per_s", of=of, against=against, workload=workload, bound="≥", limit=limit
    )


def _at_most(limit: str, against: str, *, what: str, figure: str, of: str = GATEWAY, callers: int = 1) -> Target:
    workload = Workload(users=1, callers=callers)
    return Target(what=what, figure=figure, of=of, against=against, workload=workload, bound="≤", limit=limit)


# Callers whose calls nobody merges pay for the engine in full.
_NATIVE = "gateway-native:go"

TARGETS: Sequence[Target] = (
    _calls("40", "stock"),
    _calls("2", "feast-go"),
    _calls("60", "stock", callers=256),
    _calls("2.5", "feast-go", callers=256),
    _calls("1.2", "feast-go:go", of=_NATIVE),
    _calls("1.4", "feast-go:go", of=_NATIVE, callers=256),
    _calls("0.4", "feast-go:go", of="gateway-grpcio:go"),
    _calls("2", "feast-go:go", of="gateway-native:go-merged"),
    _at_most(
        *("0.7", "feast-go:go"),
        what="CPU a call, all servers and Valkey",
        figure="server_cpu_s_per_1000",
        of=_NATIVE,
        callers=64,
    ),
    _at_most("1.6", "feast-go:go", what="p50", figure="p50_ms", of=_NATIVE),
    _at_most("0.3", "tuned:go", what="p50", figure="p50_ms", of=_NATIVE),
    _at_most("1/30", "stock", what="p99", figure="p99_ms", callers=64),
    _calls("11", "stock", of="gateway-stock"),
    _calls("7", "listen", of="gateway:feast-stub"),
    _calls("8", "listen", users=100, callers=16),
    _calls("1.3", "feast-go", users=100, callers=16),
    _at_most("1.03", "gateway:unmerged", what="p50, what merging costs", figure="p50_ms"),
)
"""On two cores, with the load client on them too."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run says of a target."""

    target: Target

    got: Spread | None
    """The ratio over the rounds; None when the run did not measure it."""

    @property
    def reached(self) -> bool:
        """Whether it was measured and its median is within the bound."""
        return self.got is not None and self.target.holds(self.got.median)


def judged(cells: Sequence[Cell]) -> Iterator[Outcome]:
    """Yield what a run's cells say of each target."""
    for target in TARGETS:
        of, to = shortest(target.of), shortest(target.against)
        found = ratios(cells, of=of, to=to, workload=target.workload)[target.figure]
        yield Outcome(target=target, got=Spread.of(found) if found else None)
