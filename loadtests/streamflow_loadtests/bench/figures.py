"""From a load to figures, and from rounds to medians, spreads and ratios."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Self

from streamflow_loadtests.bench.load import Load, Window
from streamflow_loadtests.bench.server import Role
from streamflow_loadtests.bench.workloads import Workload


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm under one workload in one round."""

    arm: str
    workload: Workload
    round: int

    calls: int
    """Right replies; there are no others in a cell."""

    calls_per_s: float
    """Replies, by the time until the last of them: no server gains by calls that are in flight when others end."""

    p50_ms: float

    p99_ms: float | None
    """None of fewer than 100 calls: it would be the longest then."""

    p999_ms: float | None
    """None of fewer than 1,000 calls."""

    max_ms: float | None
    """None from a client that does not tell."""

    resends: int
    """Requests sent again because the server had closed the connection."""

    cpu_s_per_1000: Mapping[str, float]
    """CPU seconds per 1,000 feature vectors, by process."""

    role_cpu_s_per_1000: Mapping[Role, float]
    """The same by what the processes are."""

    client_cpu_s_per_1000: float
    """The same of the load client."""

    client_share: float
    """The load client's share of all CPU time that the benchmark used, 0 to 1."""

    others_cores: float
    """Processor cores that processes outside of the benchmark kept busy meanwhile, on average."""

    stolen_cores: float
    """Processor cores that the machine was to have and its host gave to others, on average."""

    @property
    def vectors_per_s(self) -> float:
        """Feature vectors, one a user, that replies brought in a second."""
        return self.calls_per_s * self.workload.users

    @property
    def server_cpu_s_per_1000(self) -> float:
        """CPU seconds per 1,000 feature vectors of the arm's processes and Valkey together."""
        return sum(self.cpu_s_per_1000.values())


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the median, the lowest and the highest of at least one value."""
        ordered = sorted(values)
        return cls(median=median(ordered), low=ordered[0], high=ordered[-1])


FIGURES: Mapping[str, Callable[[Cell], float | None]] = {
    "calls": lambda cell: cell.calls,
    "calls_per_s": lambda cell: cell.calls_per_s,
    "vectors_per_s": lambda cell: cell.vectors_per_s,
    "p50_ms": lambda cell: cell.p50_ms,
    "p99_ms": lambda cell: cell.p99_ms,
    "p999_ms": lambda cell: cell.p999_ms,
    "max_ms": lambda cell: cell.max_ms,
    "feature_server_cpu_s_per_1000": lambda cell: cell.role_cpu_s_per_1000.get(Role.FEATURE_SERVER),
    "gateway_cpu_s_per_1000": lambda cell: cell.role_cpu_s_per_1000.get(Role.GATEWAY),
    "valkey_cpu_s_per_1000": lambda cell: cell.role_cpu_s_per_1000.get(Role.STORE),
    "other_cpu_s_per_1000": lambda cell: cell.role_cpu_s_per_1000.get(Role.OTHER),
    "server_cpu_s_per_1000": lambda cell: cell.server_cpu_s_per_1000,
    "client_cpu_s_per_1000": lambda cell: cell.client_cpu_s_per_1000,
    "client_share": lambda cell: cell.client_share,
}
"""The figures that rounds are summed up by; None where an arm has none."""

RATIOS = ("calls_per_s", "p50_ms", "p99_ms", "feature_server_cpu_s_per_1000", "server_cpu_s_per_1000")
"""The figures that arms are compared by."""


def cell(load: Load, window: Window, *, arm: str, workload: Workload, number: int, roles: Mapping[str, Role]) -> Cell:
    """Return the figures of a load without faults, and of the window around it."""
    before, after = window.before, window.after
    used = {name: after.by_process[name] - before.by_process[name] for name in after.by_process}
    client = after.client - before.client
    servers = sum(used.values())
    per_1000 = 1000 / (load.calls * workload.users)
    by_role: dict[Role, float] = defaultdict(float)
    for name, seconds in used.items():
        by_role[roles[name]] += seconds * per_1000
    return Cell(
        arm=arm,
        workload=workload,
        round=number,
        calls=load.calls,
        calls_per_s=load.calls_per_s,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        p999_ms=load.p999_ms,
        max_ms=load.max_ms,
        resends=load.resends,
        cpu_s_per_1000={name: seconds * per_1000 for name, seconds in used.items()},
        role_cpu_s_per_1000=dict(by_role),
        client_cpu_s_per_1000=client * per_1000,
        client_share=client / (client + servers) if client + servers else 0.0,
        others_cores=max(after.machine - before.machine - servers - client, 0.0) / window.wall_s,
        stolen_cores=(after.stolen - before.stolen) / window.wall_s,
    )


def spreads(cells: Iterable[Cell], *, arm: str, workload: Workload) -> dict[str, Spread | None]:
    """Return each figure of an arm under a workload over its rounds; None for one that it lacks in any of them."""
    chosen = [cell for cell in cells if (cell.arm, cell.workload) == (arm, workload)]
    found: dict[str, Spread | None] = {}
    for name, figure in FIGURES.items():
        values = [value for value in map(figure, chosen) if value is not None]
        found[name] = Spread.of(values) if chosen and len(values) == len(chosen) else None
    return found


def ratios(cells: Iterable[Cell], *, of: str, to: str, workload: Workload) -> dict[str, list[float]]:
    """Return, for each figure of RATIOS, one arm's divided by another's in the same round, round by round.

    A figure that one of the two lacks, or that is zero, has no ratios.
    """
    found = {(cell.arm, cell.round): cell for cell in cells if cell.workload == workload}
    rounds = sorted(number for arm, number in found if arm == of and (to, number) in found)
    ratios: dict[str, list[float]] = {}
    for name in RATIOS:
        pairs = [(FIGURES[name](found[of, number]), FIGURES[name](found[to, number])) for number in rounds]
        divided = [above / below for above, below in pairs if above is not None and below]
        ratios[name] = divided if len(divided) == len(rounds) else []
    return ratios
