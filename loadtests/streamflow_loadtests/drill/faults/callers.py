"""Callers that harm others: one takes no answers, another sends more calls than are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.bed.bed import GATEWAY
from streamflow_loadtests.drill.fault import OUT_OF_TIME, Fault, Scene

_LASTS_S = 4.0
_STREAMS = 15
_QUESTIONS_AT_ONCE = 10
_EVERY_S = 0.2
_FLOODING_CALLERS = 32
_LEAST_SHARE = 0.6
_MEMORY_LIMIT_MB = 256
# The client takes no more than 64 KiB of a stream.
_NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535))


@asynccontextmanager
async def _unread(scene: Scene) -> AsyncIterator[None]:
    async with grpc.aio.insecure_channel(_target(scene), options=_NARROW) as channel:
        asking = [asyncio.create_task(_ask(scene, channel)) for _ in range(_STREAMS)]
        await asyncio.sleep(scene.lasting(_LASTS_S))
        used_mb = scene.bed.servers.process(GATEWAY).memory_info().rss / 1e6
        scene.expect(used_mb < _MEMORY_LIMIT_MB, f"the gateway's memory was {used_mb:.0f} MB")
        for task in asking:
            task.cancel()
    yield


async def _ask(scene: Scene, channel: grpc.aio.Channel) -> None:
    """Ask questions of one stream, and take no answer."""
    call: Any = UserFeatureServiceStub(channel).StreamUserFeatures()
    while True:
        for number, user_id in zip(range(_QUESTIONS_AT_ONCE), scene.load.answers, strict=False):
            request = GetUserFeaturesRequest(user_id=user_id)
            await call.write(StreamUserFeaturesRequest(request_id=number, request=request))
        await asyncio.sleep(_EVERY_S)


@asynccontextmanager
async def _flood(scene: Scene) -> AsyncIterator[None]:
    async with grpc.aio.insecure_channel(_target(scene)) as channel:
        calling = [asyncio.create_task(_call(scene, channel)) for _ in range(_FLOODING_CALLERS)]
        answered, ended = await scene.outcomes(for_s=scene.lasting(_LASTS_S))
        scene.expect(answered >= _LEAST_SHARE * ended, f"{answered} of {ended} calls beside the flood were answered")
        for task in calling:
            task.cancel()
    yield


async def _call(scene: Scene, channel: grpc.aio.Channel) -> None:
    """Call without a pause as a principal of its own."""
    stub: Any = UserFeatureServiceStub(channel)
    request = GetUserFeaturesRequest(user_id=next(iter(scene.load.answers)))
    while True:
        with suppress(grpc.aio.AioRpcError):
            await stub.GetUserFeatures(request, timeout=1.0, metadata=(("authorization", "Bearer flood"),))


def _target(scene: Scene) -> str:
    return f"127.0.0.1:{scene.bed.servers.port(GATEWAY)}"


FAULTS = (
    Fault(name="unread streams", inject=_unread),
    Fault(name="a principal that floods", inject=_flood, may_fail_as=OUT_OF_TIME | {"RESOURCE_EXHAUSTED"}),
)
