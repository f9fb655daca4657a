"""How much memory processes take, and whether that grows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import psutil

_AROUND = 0.05
"""A figure is the median of the samples within this share of the run before its time."""

_BYTES = 1e6


@dataclass
class MemoryWatch:
    """Samples of memory in MB, by process; what several share is divided between them."""

    process: Callable[[str], psutil.Process]
    """Returns the process of a name."""

    names: Sequence[str]
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def sample(self, at_s: float) -> None:
        """Note what each takes now, with all that it started; one that is being replaced is left out."""
        found = {"client": _taken([psutil.Process()])}
        for name in self.names:
            try:
                found[name] = memory_mb(self.process(name))
            except psutil.Error:
                continue
        self.samples.append((at_s, found))


def memory_mb(process: psutil.Process) -> float:
    """Return the memory of a process and all that it started, in MB; what several share is divided between them."""
    return _taken([process, *process.children(recursive=True)])


def _taken(processes: Sequence[psutil.Process]) -> float:
    return sum(float(process.memory_full_info().pss) for process in processes) / _BYTES


def at_times(samples: Sequence[tuple[float, Mapping[str, float]]], times: Sequence[float]) -> dict[str, list[float]]:
    """Return each process's memory at shares of the run, 0 to 1: the medians of the samples shortly before.

    A process that has no sample there has the last one before.
    """
    end_s = samples[-1][0]
    names = sorted({name for _, sample in samples for name in sample})
    return {name: [_before(_of(samples, name), time * end_s, _AROUND * end_s) for time in times] for name in names}


def _of(samples: Sequence[tuple[float, Mapping[str, float]]], name: str) -> list[tuple[float, float]]:
    return [(at_s, sample[name]) for at_s, sample in samples if name in sample]


def _before(samples: Sequence[tuple[float, float]], time_s: float, around_s: float) -> float:
    near = [taken for at_s, taken in samples if time_s - around_s <= at_s <= time_s]
    return median(near) if near else next((taken for at_s, taken in reversed(samples) if at_s <= time_s), samples[0][1])
