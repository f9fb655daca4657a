"""Faults of gateways and of the way to their feature servers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from streamflow.features.v1 import user_feature_service_pb2

from streamflow_loadtests.bed.bed import FEATURE_SERVERS, GATEWAY, Bed
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bed.processes import becomes, listening, restarted
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.own_client import OwnClient
from streamflow_loadtests.drill.fault import Fault, Scene

SECOND_GATEWAY = "gateway-2"

_BALANCER = "balancer"
_SERVICE = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"].full_name
_FAR_GATEWAY = "gateway-far"
_DELAY_MS = 100
_DELAYS = [f"delay-of-{name}" for name in FEATURE_SERVERS]
_SLOW_S = 4.0
_READY_TIMEOUT_S = 30.0


@asynccontextmanager
async def two_gateways(bed: Bed) -> AsyncIterator[OwnClient]:
    """Start a second gateway in front of the same feature servers, and load both through the Python client."""
    port = bed.start_gateway(SECOND_GATEWAY)
    async with bed.ending(SECOND_GATEWAY):
        async with bed.asking(SECOND_GATEWAY):
            pass
        caller = OwnClient([bed.servers.port(GATEWAY), port], feature_service=FEATURE_SERVICE)
        try:
            yield caller
        finally:
            await caller.close()


@asynccontextmanager
async def _behind_a_balancer(bed: Bed) -> AsyncIterator[Caller]:
    """Start a second gateway and a TCP balancer, and load both through one connection that doesn't follow health."""
    bed.start_gateway(SECOND_GATEWAY)
    async with bed.ending(SECOND_GATEWAY):
        async with bed.asking(SECOND_GATEWAY):
            pass
        bed.start_balancer(_BALANCER, to=(GATEWAY, SECOND_GATEWAY))
        async with bed.ending(_BALANCER), bed.asking(_BALANCER) as caller:
            yield caller


async def ready(port: int) -> bool:
    """Return whether a gateway's gRPC health, which balancers and the client go by, is SERVING within 30 s."""
    request = health_pb2.HealthCheckRequest(service=_SERVICE)

    async def serving() -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            try:
                reply = await stub.Check(request, timeout=1.0)
            except grpc.aio.AioRpcError:
                return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return await becomes(serving, timeout_s=_READY_TIMEOUT_S)


@asynccontextmanager
async def _rolled(scene: Scene) -> AsyncIterator[None]:
    servers = scene.bed.servers
    for name in (GATEWAY, SECOND_GATEWAY):
        await restarted(servers, name)
        scene.expect(await ready(servers.port(name)), f"{name} was not ready {_READY_TIMEOUT_S:g} s after its restart")
    yield


@asynccontextmanager
async def _behind_delays(bed: Bed) -> AsyncIterator[Caller]:
    """Start a gateway to whose feature servers the way can be made longer, and load it."""
    for name, server in zip(_DELAYS, FEATURE_SERVERS, strict=True):
        bed.start_delay(name, to=server, delay_ms=_DELAY_MS)
    async with bed.ending(*_DELAYS):
        for name in _DELAYS:
            await listening(bed.servers.port(name))
            bed.servers.process(name).send_signal(signal.SIGUSR2)
        bed.start_gateway(_FAR_GATEWAY, before=_DELAYS)
        async with bed.ending(_FAR_GATEWAY), bed.asking(_FAR_GATEWAY) as caller:
            yield caller


@asynccontextmanager
async def _slow(scene: Scene, names: Sequence[str]) -> AsyncIterator[None]:
    processes = [scene.bed.servers.process(name) for name in names]
    for process in processes:
        process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(scene.lasting(_SLOW_S))
    for process in processes:
        process.send_signal(signal.SIGUSR2)
    yield


FAULTS = (
    Fault(
        name="gateways restarted in turn",
        stage=two_gateways,
        inject=_rolled,
    ),
    Fault(
        name="gateways restarted behind a balancer",
        stage=_behind_a_balancer,
        inject=_rolled,
    ),
    Fault(
        name=f"a feature server {_DELAY_MS} ms slower",
        stage=_behind_delays,
        inject=lambda scene: _slow(scene, _DELAYS[:1]),
    ),
    Fault(
        name=f"all feature servers {_DELAY_MS} ms slower",
        stage=_behind_delays,
        inject=lambda scene: _slow(scene, _DELAYS),
    ),
)
