"""A soak: a steady load for long, while replicas are replaced in turn."""

import asyncio
import heapq
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streamflow_loadtests.bed.bed import FEATURE_SERVERS, GATEWAY, POSTGRES, VALKEY, Bed
from streamflow_loadtests.bed.processes import healthy, restarted
from streamflow_loadtests.callers.closed_loop import peak_per_s
from streamflow_loadtests.callers.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.drill.faults.gateways import SECOND_GATEWAY, ready, two_gateways
from streamflow_loadtests.measuring.lateness import Lateness
from streamflow_loadtests.measuring.memory import MemoryWatch, at_times
from streamflow_loadtests.measuring.percentile import percentile
from streamflow_loadtests.measuring.punctual import keep_to_schedule

LONGEST_LIMIT_S = 0.250
"""How long the longest call may take."""

GROWTH_LIMIT = 1.1
"""How many times its memory after the first quarter a process that lives through it all may have at the end."""

MEMORY_AT = (0.25, 0.5, 1.0)
"""The shares of the run after which memory is reported."""

_CAPACITY_S = 5.0
_LONGEST_KEPT = 10
_SAMPLES = 200
_SHORTEST_PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class SoakSettings:
    """How long, how much, and how often a replica is replaced."""

    duration_s: float
    share: float
    """The share of what can be answered at all that is asked."""

    recycle_s: float
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Long:
    """One of the longest calls."""

    ms: float
    at_s: float
    """When it was due, from the start of the run."""

    after: str
    """What was replaced last before it ended, and how long before."""


@dataclass(frozen=True, kw_only=True)
class SoakResult:
    """What came of it."""

    capacity_per_s: float
    """Calls a second answered to 64 callers that wait for each answer."""

    calls_per_s: float
    calls: int
    failed: Mapping[str, int]
    p50_ms: float
    p99_ms: float
    p999_ms: float
    longest: Sequence[Long]

    recycled: int
    """Replicas replaced."""

    client_late_ms: float
    """The longest that the load client itself was late."""

    memory_mb: Mapping[str, Sequence[float]]
    """Each process's memory at the times of MEMORY_AT."""

    complaints: Sequence[str]
    """What was not as expected."""

    void: str | None = None
    """Why the times say nothing of the servers; None when they do."""

    @property
    def verdict(self) -> str:
        """What is to be said of it: "yes" when all was as expected."""
        return "; ".join(self.complaints) or self.void or "yes"


@dataclass
class Tally:
    """What the calls came to, in little memory."""

    elapsed_s: "array[float]" = field(default_factory=lambda: array("f"))
    failed: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[float, float]] = field(default_factory=list)
    """Durations of the longest, and when they were due, in seconds."""

    def note(self, call: Call) -> None:
        """Count a call."""
        self.elapsed_s.append(call.elapsed_s)
        if call.outcome != OK:
            self.failed[call.outcome] += 1
        keep = heapq.heappush if len(self.longest) < _LONGEST_KEPT else heapq.heappushpop
        keep(self.longest, (call.elapsed_s, call.due_s))


async def soak(bed: Bed, settings: SoakSettings, *, say: Callable[[str], None]) -> SoakResult:
    """Ask two gateways before two feature servers for `settings.share` of their capacity for `settings.duration_s`.

    One of each is replaced in turn, as a rolling restart does; the others live through it all, and are judged by their
    memory.
    """
    tally = Tally()
    async with two_gateways(bed) as caller:
        users = list(bed.dataset.answers)
        capacity = await peak_per_s(caller, users, duration_s=_CAPACITY_S)
        rate = settings.share * capacity
        say(f"{capacity:,.0f} calls/s can be answered; asking {rate:,.0f} for {settings.duration_s:g} s")
        load = OpenLoop(
            caller=caller,
            answers=bed.dataset.answers,
            calls_per_s=rate,
            timeout_s=settings.timeout_s,
            note=tally.note,
        )
        keep_to_schedule()
        began_s, ended = time.perf_counter(), asyncio.Event()
        steady = [GATEWAY, FEATURE_SERVERS[0], VALKEY]
        memory = MemoryWatch(bed.servers.process, [*steady, SECOND_GATEWAY, *FEATURE_SERVERS[1:], POSTGRES])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(ended))
            tasks.create_task(_sample(memory, settings, ended))
            try:
                recycled = await _recycle(bed, settings, until_s=began_s + settings.duration_s)
            finally:
                ended.set()
    return result_of(
        tally,
        capacity_per_s=capacity,
        calls_per_s=load.calls_per_s,
        began_s=began_s,
        recycled=recycled,
        lateness=load.lateness,
        memory_mb=at_times(memory.samples, MEMORY_AT),
        steady=steady,
    )


async def _recycle(bed: Bed, settings: SoakSettings, *, until_s: float) -> list[tuple[float, str]]:
    """Replace a replica of each kind in turn; return when, by `time.perf_counter`, and which."""
    recycled: list[tuple[float, str]] = []
    names = [FEATURE_SERVERS[-1], SECOND_GATEWAY]
    due_s = time.perf_counter() + settings.recycle_s
    # None that would be on its way at the end.
    while due_s < until_s - settings.recycle_s / 2:
        await asyncio.sleep(due_s - time.perf_counter())
        name = names[len(recycled) % len(names)]
        recycled.append((time.perf_counter(), name))
        await restarted(bed.servers, name)
        port = bed.servers.port(name)
        await (ready(port) if name == SECOND_GATEWAY else healthy(port))
        due_s = max(due_s + settings.recycle_s, time.perf_counter())
    await asyncio.sleep(until_s - time.perf_counter())
    return recycled


async def _sample(memory: MemoryWatch, settings: SoakSettings, ended: asyncio.Event) -> None:
    began_s = time.perf_counter()
    while not ended.is_set():
        await asyncio.to_thread(memory.sample, time.perf_counter() - began_s)
        try:
            async with asyncio.timeout(max(settings.duration_s / _SAMPLES, _SHORTEST_PAUSE_S)):
                await ended.wait()
        except TimeoutError:
            continue


def result_of(
    tally: Tally,
    *,
    capacity_per_s: float,
    calls_per_s: float,
    began_s: float,
    recycled: Sequence[tuple[float, str]],
    lateness: Lateness,
    memory_mb: Mapping[str, Sequence[float]],
    steady: Sequence[str],
) -> SoakResult:
    """Judge a soak by its calls and by the memory of the processes that lived through it all."""
    ordered = sorted(tally.elapsed_s)
    complaints = [f"{count} calls {code}" for code, count in sorted(tally.failed.items())]
    void = lateness.voids(excess_s=ordered[-1] - LONGEST_LIMIT_S)
    if ordered[-1] > LONGEST_LIMIT_S and void is None:
        complaints.append(f"the longest call took {ordered[-1] * 1000:.0f} ms")
    for name in steady:
        early, *_, late = memory_mb[name]
        if late > GROWTH_LIMIT * early:
            complaints.append(f"{name} grew from {early:.0f} to {late:.0f} MB")
    return SoakResult(
        capacity_per_s=capacity_per_s,
        calls_per_s=calls_per_s,
        calls=len(ordered),
        failed=dict(tally.failed),
        p50_ms=percentile(ordered, 0.5) * 1000,
        p99_ms=percentile(ordered, 0.99) * 1000,
        p999_ms=percentile(ordered, 0.999) * 1000,
        longest=[
            Long(ms=elapsed_s * 1000, at_s=at_s - began_s, after=_after(at_s + elapsed_s, recycled))
            for elapsed_s, at_s in sorted(tally.longest, reverse=True)
        ],
        recycled=len(recycled),
        client_late_ms=lateness.begun.max_ms,
        memory_mb=memory_mb,
        complaints=complaints,
        void=void,
    )


def _after(ended_s: float, recycled: Sequence[tuple[float, str]]) -> str:
    before = [(at_s, name) for at_s, name in recycled if at_s <= ended_s]
    return f"{ended_s - before[-1][0]:.1f} s after {before[-1][1]}" if before else "none"
