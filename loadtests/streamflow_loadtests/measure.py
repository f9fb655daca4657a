"""From a load to figures, and from rounds to medians with their spread."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

import psutil

from streamflow_loadtests.client import Load


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm under one number of callers in one round."""

    arm: str
    callers: int
    round: int

    calls: int
    """Right replies; there are no others in a cell."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    resends: int
    """Requests sent anew because the server had closed the connection."""

    cpu_s_per_1000: Mapping[str, float]
    """CPU seconds per 1,000 feature vectors, by process."""

    client_cpu_s_per_1000: float
    """The same of the load client."""

    others_cores: float
    """Processor cores that processes outside of the benchmark kept busy meanwhile, on average."""

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


FIGURES: Mapping[str, Callable[[Cell], float]] = {
    "calls_per_s": lambda cell: cell.calls_per_s,
    "p50_ms": lambda cell: cell.p50_ms,
    "p99_ms": lambda cell: cell.p99_ms,
    "p999_ms": lambda cell: cell.p999_ms,
    "max_ms": lambda cell: cell.max_ms,
    "server_cpu_s_per_1000": lambda cell: cell.server_cpu_s_per_1000,
    "client_cpu_s_per_1000": lambda cell: cell.client_cpu_s_per_1000,
}
"""The figures that rounds are summed up by."""

RATIOS = ("calls_per_s", "p50_ms", "p99_ms", "server_cpu_s_per_1000")
"""The figures that arms are compared by."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ascending values that `share`, 0 to 1, of them do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


@dataclass(frozen=True)
class Cpu:
    """CPU seconds used so far."""

    by_process: Mapping[str, float]
    """Of each process with all that it started, those that have ended included."""

    client: float
    """Of this process."""

    machine: float
    """Of all processes of the machine."""

    @classmethod
    def now(cls, processes: Mapping[str, psutil.Process]) -> Self:
        """Return what was used up to now."""
        times = psutil.cpu_times()
        return cls(
            by_process={name: _with_children(process) for name, process in processes.items()},
            client=_own(psutil.Process()),
            machine=times.user + times.system + getattr(times, "nice", 0.0),
        )


def cell(
    load: Load, *, arm: str, callers: int, number: int, resends: int, before: Cpu, after: Cpu, wall_s: float
) -> Cell:
    """Return the figures of a load without faults; `before` and `after` are `wall_s` seconds apart around it."""
    ordered = sorted(load.latencies_s)
    used = {name: after.by_process[name] - before.by_process[name] for name in after.by_process}
    client = after.client - before.client
    per_1000 = 1000 / len(ordered)
    return Cell(
        arm=arm,
        callers=callers,
        round=number,
        calls=len(ordered),
        calls_per_s=load.in_time / load.duration_s,
        p50_ms=percentile(ordered, 0.5) * 1000,
        p99_ms=percentile(ordered, 0.99) * 1000,
        p999_ms=percentile(ordered, 0.999) * 1000,
        max_ms=ordered[-1] * 1000,
        resends=resends,
        cpu_s_per_1000={name: seconds * per_1000 for name, seconds in used.items()},
        client_cpu_s_per_1000=client * per_1000,
        others_cores=max(after.machine - before.machine - sum(used.values()) - client, 0.0) / wall_s,
    )


def spreads(cells: Iterable[Cell], *, arm: str, callers: int) -> dict[str, Spread]:
    """Return each figure of an arm under a number of callers over its rounds."""
    chosen = [cell for cell in cells if (cell.arm, cell.callers) == (arm, callers)]
    return {name: Spread.of(figure(cell) for cell in chosen) for name, figure in FIGURES.items()}


def ratios(cells: Iterable[Cell], *, of: str, to: str, callers: int) -> dict[str, list[float]]:
    """Return, for each figure of RATIOS, one arm's divided by another's in the same round, round by round."""
    found = {(cell.arm, cell.round): cell for cell in cells if cell.callers == callers}
    rounds = sorted(number for arm, number in found if arm == of)
    return {
        name: [FIGURES[name](found[of, number]) / FIGURES[name](found[to, number]) for number in rounds]
        for name in RATIOS
    }


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(process: psutil.Process) -> float:
    # Children first: one that ends meanwhile is then counted by its parent.
    seconds = 0.0
    for member in [*process.children(recursive=True), process]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
