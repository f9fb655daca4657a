"""What the processes of a run, and all others of the machine, have used of its processors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True)
class Cpu:
    """CPU seconds used so far."""

    by_process: Mapping[str, float]
    """Of each process with all that it started, those that have ended included."""

    client: float
    """Of this process, and of load clients besides it."""

    machine: float
    """Of all processes of the machine."""

    stolen: float = 0.0
    """That a virtual machine waited for its host."""

    @classmethod
    def now(cls, processes: Mapping[str, psutil.Process], *, clients: Sequence[psutil.Process] = ()) -> Self:
        """Return what was used up to now; `clients` are load clients besides this process."""
        times = psutil.cpu_times()
        return cls(
            by_process={name: _with_children(process) for name, process in processes.items()},
            client=_own(psutil.Process()) + sum(map(_with_children, clients)),
            machine=times.user + times.system + getattr(times, "nice", 0.0),
            stolen=getattr(times, "steal", 0.0),
        )


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _with_children(process: psutil.Process) -> float:
    try:
        # Children first: one that ends meanwhile is then counted by its parent.
        members = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return 0.0
    seconds = 0.0
    for member in members:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
