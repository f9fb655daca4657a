"""Five times as many calls as can be answered: what is still answered, and how soon the rest is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streamflow_loadtests.bed.bed import FEATURE_SERVERS, Bed
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.closed_loop import peak_per_s
from streamflow_loadtests.callers.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.drill.fault import Watch, unwatched
from streamflow_loadtests.measuring.lateness import Lateness
from streamflow_loadtests.measuring.percentile import percentile

OVERLOAD = "five times overload"

GOODPUT_SHARE = 0.8
"""The least share of the peak that is answered under overload."""

REFUSED_LIMIT_S = 0.050
"""How long a refusal may take: its 99th percentile."""

GROWTH_LIMIT = 1.1
"""How many times its memory after the first second the gateway may have at the end."""

_FACTOR = 5
_PEAK_S = 4.0
_GATEWAY = "gateway-overload"
_DELAY = "delay-overload"
_DELAY_MS = 20
_MAX_BATCH_SIZE = 4
_OVERLOAD_S = 12.0
_REFUSED = "RESOURCE_EXHAUSTED"


@dataclass(frozen=True, kw_only=True)
class Overload:
    """What came of it."""

    peak_per_s: float
    """Calls answered a second by callers that wait for each answer."""

    offered_per_s: float
    answered_per_s: float
    by_code: Mapping[str, int]

    refused_ms: Mapping[str, float]
    """How long refusals took: p50, p99 and max."""

    longest_ms: float
    rss_mb: Sequence[float]
    """The gateway's memory, every second."""

    complaints: Sequence[str]
    """What was not as expected."""

    void: str | None = None
    """Why the times say nothing of the servers; None when they do."""

    @property
    def verdict(self) -> str:
        """What is to be said of it: "yes" when all was as expected."""
        return "; ".join(self.complaints) or self.void or "yes"

    @property
    def goodput(self) -> float:
        """The share of the peak that was answered."""
        return self.answered_per_s / self.peak_per_s


async def overload(bed: Bed, *, timeout_s: float, stretched: float = 1.0, watch: Watch = unwatched) -> Overload:
    """Offer a gateway five times its peak for 12 s, `stretched` times, with a deadline of `timeout_s` a call."""
    calls: list[Call] = []
    async with _far_gateway(bed) as caller:
        peak = await peak_per_s(caller, list(bed.dataset.answers), duration_s=_PEAK_S)
        load = OpenLoop(
            caller=caller,
            answers=bed.dataset.answers,
            calls_per_s=_FACTOR * peak,
            timeout_s=timeout_s,
            note=calls.append,
        )
        ended, rss_mb = asyncio.Event(), []
        async with watch(bed), asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(ended))
            for _ in range(int(_OVERLOAD_S * stretched)):
                await asyncio.sleep(1.0)
                rss_mb.append(bed.servers.process(_GATEWAY).memory_info().rss / 1e6)
            ended.set()
    return result_of(calls, peak_per_s=peak, rss_mb=rss_mb, lateness=load.lateness)


@asynccontextmanager
async def _far_gateway(bed: Bed) -> AsyncIterator[Caller]:
    """Start a gateway with reads of four users, in front of a feature server 20 ms away: callers can exceed that."""
    bed.start_delay(_DELAY, to=FEATURE_SERVERS[0], delay_ms=_DELAY_MS)
    async with bed.ending(_DELAY):
        bed.start_gateway(_GATEWAY, before=[_DELAY], settings={"GATEWAY_MAX_BATCH_SIZE": str(_MAX_BATCH_SIZE)})
        async with bed.ending(_GATEWAY), bed.asking(_GATEWAY) as caller:
            yield caller


def result_of(
    calls: Sequence[Call], *, peak_per_s: float, rss_mb: Sequence[float], lateness: Lateness | None = None
) -> Overload:
    """Judge the calls under overload by the peak and by the gateway's memory."""
    began = min(call.due_s for call in calls)
    span_s = max(call.due_s for call in calls) - began
    by_code = Counter(call.outcome for call in calls)
    refused = sorted(call.elapsed_s for call in calls if call.outcome == _REFUSED) or [0.0]
    refused_p99_s = percentile(refused, 0.99)
    answered_per_s = by_code[OK] / span_s
    complaints = []
    if answered_per_s < GOODPUT_SHARE * peak_per_s:
        complaints.append(f"{answered_per_s / peak_per_s:.0%} of the peak was answered")
    void = (lateness or Lateness()).voids(excess_s=refused_p99_s - REFUSED_LIMIT_S)
    if refused_p99_s > REFUSED_LIMIT_S and void is None:
        complaints.append(f"1 % of the refusals took more than {refused_p99_s * 1000:.0f} ms")
    if rss_mb[-1] > GROWTH_LIMIT * rss_mb[0]:
        complaints.append(f"the gateway's memory grew from {rss_mb[0]:.0f} to {rss_mb[-1]:.0f} MB")
    unexpected = set(by_code) - {OK, _REFUSED, "DEADLINE_EXCEEDED"}
    complaints += [f"{by_code[code]} calls {code}" for code in sorted(unexpected)]
    return Overload(
        peak_per_s=peak_per_s,
        offered_per_s=len(calls) / span_s,
        answered_per_s=answered_per_s,
        by_code=dict(by_code),
        refused_ms={
            "p50": percentile(refused, 0.5) * 1000,
            "p99": refused_p99_s * 1000,
            "max": refused[-1] * 1000,
        },
        longest_ms=max(call.elapsed_s for call in calls) * 1000,
        rss_mb=list(rss_mb),
        complaints=complaints,
        void=void,
    )
