"""What the gateway is to reach beside Feast's own servers, and whether it did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from streamflow_loadtests.bench.figures import Cell, Spread, ratios
from streamflow_loadtests.bench.gateway_arms import GATEWAY
from streamflow_loadtests.bench.workloads import Workload


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound of the gateway's ratio to another arm, in the same round: the median over the rounds is held to it."""

    what: str
    figure: str
    """One of RATIOS."""

    against: str
    """The other arm."""

    workload: Workload
    bound: Literal["≥", "≤"]
    limit: str
    """A decimal number or a fraction."""

    def holds(self, ratio: float) -> bool:
        """Return whether a ratio is within the bound."""
        limit = float(Fraction(self.limit))
        return ratio >= limit if self.bound == "≥" else ratio <= limit


_ONE = Workload(users=1, callers=1)
_MANY = Workload(users=1, callers=64)
_BATCH = Workload(users=100, callers=1)

TARGETS: Sequence[Target] = (
    Target(what="throughput", figure="calls_per_s", against="stock", workload=_MANY, bound="≥", limit="7"),
    Target(what="throughput", figure="calls_per_s", against="listen", workload=_MANY, bound="≥", limit="7.5"),
    Target(what="throughput", figure="calls_per_s", against="tuned", workload=_MANY, bound="≥", limit="4"),
    Target(
        what="feature-server CPU a vector",
        figure="feature_server_cpu_s_per_1000",
        against="stock",
        workload=_MANY,
        bound="≤",
        limit="1/10",
    ),
    Target(
        what="all servers' CPU a vector",
        figure="server_cpu_s_per_1000",
        against="stock",
        workload=_MANY,
        bound="≤",
        limit="1/6",
    ),
    Target(what="p50", figure="p50_ms", against="stock", workload=_ONE, bound="≤", limit="1.0"),
    Target(what="p99", figure="p99_ms", against="stock", workload=_MANY, bound="≤", limit="1/6"),
    Target(what="p50", figure="p50_ms", against="stock", workload=_BATCH, bound="≤", limit="1.1"),
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
        found = ratios(cells, of=GATEWAY, to=target.against, workload=target.workload)[target.figure]
        yield Outcome(target=target, got=Spread.of(found) if found else None)
