"""Measures what calls cost, and what calls at several rates meet."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import redis

from streamflow_loadtests.bed.bed import FEATURE_SERVERS, VALKEY, Bed, BedError
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.grpc_stubs import GatewayStub
from streamflow_loadtests.callers.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.capacity.costs import Costs, Point
from streamflow_loadtests.measuring.cpu import Cpu
from streamflow_loadtests.measuring.memory import memory_mb
from streamflow_loadtests.measuring.percentile import percentile

_GATEWAY = "gateway-of-one"
_FEATURE_SERVER = FEATURE_SERVERS[0]
_BATCH = 32
"""Users of a call that is read in one read: the gateway's half of its most."""

_CALLERS = 64
_TIMEOUT_S = 5.0
_READS = "gateway_read_users_count"
_READ_SECONDS = 'gateway_read_duration_seconds_sum{outcome="answered"}'
_SHARES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)


@dataclass(frozen=True, kw_only=True)
class _Used:
    """What a stretch of load has used."""

    calls: int
    reads: float
    read_s: float
    """Of all reads together, from the gateway and back."""

    gateway_s: float
    feature_server_s: float
    store_s: float


class Measurement:
    """A gateway before one feature server, on a running stack."""

    def __init__(self, bed: Bed, *, duration_s: float) -> None:
        """Creates a measurement whose loads take `duration_s` each."""
        self._bed = bed
        self._duration_s = duration_s
        self._users = list(bed.dataset.answers)

    async def start(self) -> None:
        """Start the gateway. Raises BedError when it does not answer."""
        self._bed.start_gateway(_GATEWAY, before=[_FEATURE_SERVER])
        async with self._bed.asking(_GATEWAY):
            pass

    async def costs(self, *, features: Sequence[str]) -> Costs:
        """Return what calls for some features cost. Raises CallError."""
        caller = GatewayStub(self._bed.servers.port(_GATEWAY), references=features)
        await self._closed(caller, users=1, callers=_CALLERS, duration_s=self._duration_s / 4)
        single = await self._closed(caller, users=1, callers=1, duration_s=self._duration_s)
        batched = await self._closed(caller, users=_BATCH, callers=1, duration_s=self._duration_s)
        many = await self._closed(caller, users=1, callers=_CALLERS, duration_s=self._duration_s)
        reply_bytes = await caller.reply_bytes(self._users[0])
        await caller.close()
        user_s, read_s = _line(
            1, single.feature_server_s / single.reads, _BATCH, batched.feature_server_s / batched.reads
        )
        time_user_s, time_s = _line(1, single.read_s / single.reads, _BATCH, batched.read_s / batched.reads)
        # Of a call there are so many reads under either load: two equations for what a call takes and what a read.
        gateway_read_s, gateway_call_s = _line(
            many.reads / many.calls,
            many.gateway_s / many.calls,
            single.reads / single.calls,
            single.gateway_s / single.calls,
        )
        return Costs(
            features=len(features),
            gateway_call_s=gateway_call_s,
            gateway_read_s=gateway_read_s,
            feature_server_read_s=read_s,
            feature_server_user_s=user_s,
            store_user_s=many.store_s / many.calls,
            read_time_s=time_s,
            read_time_user_s=time_user_s,
            gateway_rss_mb=memory_mb(self._bed.servers.process(_GATEWAY)),
            feature_server_rss_mb=memory_mb(self._bed.servers.process(_FEATURE_SERVER)),
            store_user_bytes=self._store_bytes() / len(self._users),
            reply_bytes=reply_bytes,
        )

    async def points(self, costs: Costs) -> list[Point]:
        """Return what calls of the feature service meet at several shares of what a gateway's core can do."""
        return [await self._open(share / costs.gateway_call_s) for share in _SHARES]

    async def _open(self, calls_per_s: float) -> Point:
        calls: list[Call] = []
        caller = self._bed.gateway_caller(_GATEWAY)
        loop = OpenLoop(
            caller=caller,
            answers=self._bed.dataset.answers,
            calls_per_s=calls_per_s,
            timeout_s=_TIMEOUT_S,
            note=calls.append,
        )
        ended = asyncio.Event()
        before, (reads, _), began = self._cpu(), await self._reads(), time.perf_counter()
        running = asyncio.create_task(loop.run(ended))
        await asyncio.sleep(self._duration_s)
        ended.set()
        await running
        seconds = time.perf_counter() - began
        after, (reads_after, _) = self._cpu(), await self._reads()
        await caller.close()
        wrong = [call.outcome for call in calls if call.outcome != OK]
        if wrong:
            raise BedError(f"at {calls_per_s:.0f} calls a second {len(wrong)} of {len(calls)} ended {set(wrong)}")
        elapsed = sorted(call.elapsed_s for call in calls)
        return Point(
            calls_per_s=len(calls) / seconds,
            p50_s=percentile(elapsed, 0.5),
            p99_s=percentile(elapsed, 0.99),
            users_a_read=len(calls) / (reads_after - reads),
            gateway_cores=_used(before, after, _GATEWAY) / seconds,
            feature_server_cores=_used(before, after, _FEATURE_SERVER) / seconds,
            late_s=loop.lateness.begun.max_ms / 1000,
            void=loop.lateness.often,
        )

    async def _closed(self, caller: Caller, *, users: int, callers: int, duration_s: float) -> _Used:
        answered = 0
        drawn = cycle(self._users)
        end = time.perf_counter() + duration_s

        async def calls() -> None:
            nonlocal answered
            while time.perf_counter() < end:
                await caller.ask(list(islice(drawn, users)), timeout_s=_TIMEOUT_S)
                answered += 1

        before, (reads, read_s) = self._cpu(), await self._reads()
        await asyncio.gather(*(calls() for _ in range(callers)))
        after, (reads_after, read_s_after) = self._cpu(), await self._reads()
        return _Used(
            calls=answered,
            reads=reads_after - reads,
            read_s=read_s_after - read_s,
            gateway_s=_used(before, after, _GATEWAY),
            feature_server_s=_used(before, after, _FEATURE_SERVER),
            store_s=_used(before, after, VALKEY),
        )

    def _cpu(self) -> Cpu:
        names = (_GATEWAY, _FEATURE_SERVER, VALKEY)
        return Cpu.now({name: self._bed.servers.process(name) for name in names})

    async def _reads(self) -> tuple[float, float]:
        """Return how many reads there were, and how long they took together."""
        count = await self._bed.metric(_READS, gateway=_GATEWAY)
        return count, await self._bed.metric(_READ_SECONDS, gateway=_GATEWAY)

    def _store_bytes(self) -> float:
        with redis.Redis.from_url(self._bed.redis_url) as client:
            info = client.info("memory")
        return float(info["used_memory_dataset"])


def _line(x: float, y: float, other_x: float, other_y: float) -> tuple[float, float]:
    """Return slope and intercept of the line through two points."""
    slope = (other_y - y) / (other_x - x)
    return slope, y - slope * x


def _used(before: Cpu, after: Cpu, name: str) -> float:
    return after.by_process[name] - before.by_process[name]
