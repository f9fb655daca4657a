"""A run without faults, and what it was measured on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.figures import Cell
from streamflow_loadtests.bench.servers import GATEWAY
from streamflow_loadtests.bench.workloads import BenchSettings, Workload
from streamflow_loadtests.measuring.machine import Machine


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run without faults."""

    settings: BenchSettings
    machine: Machine
    arms: Sequence[Arm]
    cells: Sequence[Cell]

    skipped: Mapping[str, str]
    """The arms that could not be measured here, and why."""

    def others(self) -> list[str]:
        """Return the arms that the gateway is compared with; none when it was not measured."""
        names = [arm.name for arm in self.arms]
        return [name for name in names if name != GATEWAY] if GATEWAY in names else []

    def measured(self) -> Iterator[tuple[Workload, str]]:
        """Yield each workload with each arm that was under it."""
        found = {(cell.workload, cell.arm) for cell in self.cells}
        for workload in self.settings.workloads:
            yield from ((workload, arm.name) for arm in self.arms if (workload, arm.name) in found)

    @property
    def users(self) -> int:
        """How many users the calls were drawn from."""
        return max(len(arm.server.answers) for arm in self.arms)


def conditions(result: Result) -> list[str]:
    """Return the lines that say what the figures were measured on and how."""
    plan, machine, cells = result.settings, result.machine, result.cells
    others, stolen = [cell.others_cores for cell in cells], [cell.stolen_cores for cell in cells]
    shares = [cell.client_share for cell in cells]
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    vectors = sum(cell.calls * cell.workload.users for cell in cells)
    cells_of = f"rounds: {plan.rounds}, of {plan.duration_s:g} s a cell, each after {plan.warm_up_s:g} s of warm-up"
    others_kept = f"other processes kept {median(others):.2f} cores busy meanwhile, at most {max(others):.2f}"
    replies = f"{sum(cell.calls for cell in cells):,} replies with {vectors:,} feature vectors"
    taken = f"{median(shares):.0%} of the benchmark's CPU time ({min(shares):.0%} to {max(shares):.0%})"
    return [
        f"{machine.cores} cores of {machine.processor}, {machine.memory_gb:g} GB, {machine.system}",
        versions,
        f"{machine.at}, load average before the run {machine.load_average_1m:.2f}",
        f"{others_kept}; the machine's host withheld {median(stolen):.2f}, at most {max(stolen):.2f}",
        f"{cells_of}; {result.users:,} users, drawn with seed {plan.seed}",
        f"servers, stores and the load client share the machine; the load client took {taken}",
        "callers in Python share one process on uvloop; each builds its request and decodes its reply on the clock",
        f"{replies}; those that Python received were compared with PostgreSQL, value by value: no errors",
        f"{sum(cell.resends for cell in cells):,} requests were sent again after their connection was closed",
        *(f"{name} was left out: {why}" for name, why in result.skipped.items()),
    ]
