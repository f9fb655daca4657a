"""Measures what calls cost, and what calls at several rates meet."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import grpc
import redis
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetUserFeaturesRequest,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_local import ports

from streamflow_loadtests.bed.bed import Bed, DrillError, wait_until_answered
from streamflow_loadtests.callers.gateway import PlainCaller
from streamflow_loadtests.callers.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.capacity.costs import Costs, Point
from streamflow_loadtests.measuring.cpu import Cpu
from streamflow_loadtests.measuring.memory import memory_mb
from streamflow_loadtests.measuring.percentile import percentile

_GATEWAY = "gateway-of-one"
_STORE = "valkey"
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
        """Load it for `duration_s` at a time."""
        self._bed = bed
        self._duration_s = duration_s
        self._feature_server = bed.feature_servers[0]
        self._users = list(bed.dataset.answers)
        self._port = 0
        (self._http_port,) = ports.free_ports(1)

    async def start(self) -> None:
        """Start the gateway. Raises DrillError when it does not answer."""
        port = self._bed.config.feature_servers()[self._feature_server]
        settings = {
            "GATEWAY_FEATURE_SERVER_URLS": f"http://127.0.0.1:{port}",
            "GATEWAY_HTTP_PORT": str(self._http_port),
        }
        self._port = self._bed.start_gateway(_GATEWAY, settings=settings)
        await wait_until_answered(self._bed, _GATEWAY, self._port)

    async def costs(self, *, features: Sequence[str]) -> Costs:
        """Return what calls for some features cost."""
        selection = FeatureReferences(references=features)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            stub = UserFeatureServiceStub(channel)

            async def one(user_ids: Sequence[str]) -> None:
                request = GetUserFeaturesRequest(user_id=user_ids[0], feature_references=selection)
                await stub.GetUserFeatures(request, timeout=_TIMEOUT_S)

            async def batch(user_ids: Sequence[str]) -> None:
                request = BatchGetUserFeaturesRequest(user_ids=user_ids, feature_references=selection)
                await stub.BatchGetUserFeatures(request, timeout=_TIMEOUT_S)

            await self._closed(one, users=1, callers=_CALLERS, duration_s=self._duration_s / 4)
            single = await self._closed(one, users=1, callers=1, duration_s=self._duration_s)
            batched = await self._closed(batch, users=_BATCH, callers=1, duration_s=self._duration_s)
            many = await self._closed(one, users=1, callers=_CALLERS, duration_s=self._duration_s)
            request = GetUserFeaturesRequest(user_id=self._users[0], feature_references=selection)
            reply = await stub.GetUserFeatures(request, timeout=_TIMEOUT_S)
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
            feature_server_rss_mb=memory_mb(self._bed.servers.process(self._feature_server)),
            store_user_bytes=self._store_bytes() / len(self._users),
            reply_bytes=reply.ByteSize(),
        )

    async def points(self, costs: Costs) -> list[Point]:
        """Return what calls of the feature service meet at several shares of what a gateway's core can do."""
        return [await self._open(share / costs.gateway_call_s) for share in _SHARES]

    async def _open(self, calls_per_s: float) -> Point:
        calls: list[Call] = []
        caller = PlainCaller(self._port)
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
            raise DrillError(f"at {calls_per_s:.0f} calls a second {len(wrong)} of {len(calls)} ended {set(wrong)}")
        elapsed = sorted(call.elapsed_s for call in calls)
        return Point(
            calls_per_s=len(calls) / seconds,
            p50_s=percentile(elapsed, 0.5),
            p99_s=percentile(elapsed, 0.99),
            users_a_read=len(calls) / (reads_after - reads),
            gateway_cores=_used(before, after, _GATEWAY) / seconds,
            feature_server_cores=_used(before, after, self._feature_server) / seconds,
            late_s=loop.lateness.begun.max_ms / 1000,
            void=loop.lateness.often,
        )

    async def _closed(
        self, ask: Callable[[Sequence[str]], Awaitable[None]], *, users: int, callers: int, duration_s: float
    ) -> _Used:
        elapsed: list[float] = []
        drawn = cycle(self._users)
        end = time.perf_counter() + duration_s

        async def calls() -> None:
            while (began := time.perf_counter()) < end:
                await ask([next(drawn) for _ in range(users)])
                elapsed.append(time.perf_counter() - began)

        before, (reads, read_s) = self._cpu(), await self._reads()
        try:
            await asyncio.gather(*(calls() for _ in range(callers)))
        except grpc.aio.AioRpcError as error:
            raise DrillError(f"a call failed while costs were measured: {error.code().name}") from error
        after, (reads_after, read_s_after) = self._cpu(), await self._reads()
        return _Used(
            calls=len(elapsed),
            reads=reads_after - reads,
            read_s=read_s_after - read_s,
            gateway_s=_used(before, after, _GATEWAY),
            feature_server_s=_used(before, after, self._feature_server),
            store_s=_used(before, after, _STORE),
        )

    def _cpu(self) -> Cpu:
        names = (_GATEWAY, self._feature_server, _STORE)
        return Cpu.now({name: self._bed.servers.process(name) for name in names})

    async def _reads(self) -> tuple[float, float]:
        """Return how many reads there were, and how long they took together."""
        count = await self._bed.metric(_READS, http_port=self._http_port)
        return count, await self._bed.metric(_READ_SECONDS, http_port=self._http_port)

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
