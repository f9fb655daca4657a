"""Connections are renewed, so that clients find gateways that were added; it costs no call and no stream."""

import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest
from feature_gateway.settings import Settings
from gateway_fakes import Gateway, serving
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_BOUND_S = 20.0


@pytest.fixture
def aging(settings: Settings) -> Settings:
    return replace(settings, max_connection_age_s=0.1)


async def _left_ready(channel: grpc.aio.Channel) -> None:
    """Return once the channel has let go of a connection."""
    while channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(channel.get_state())
    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


async def _call_until(done: asyncio.Task[None], gateway: Gateway) -> int:
    calls = 0
    while not done.done():
        reply = await gateway.stub.GetUserFeatures(_REQUEST, timeout=_BOUND_S)
        assert reply.user_features.user_known
        calls += 1
    return calls


async def test_connections_are_renewed_without_a_failed_call(aging: Settings) -> None:
    async with asyncio.timeout(_BOUND_S), serving(aging) as gateway:

        async def renewed(times: int) -> None:
            for _ in range(times):
                await _left_ready(gateway.channel)

        calls = await asyncio.gather(*(_call_until(asyncio.create_task(renewed(3)), gateway) for _ in range(8)))
    assert min(calls) > 0


async def test_a_stream_outlives_the_age_of_its_connection(aging: Settings) -> None:
    async with asyncio.timeout(_BOUND_S), serving(aging) as gateway:
        stream: Any = gateway.stub.StreamUserFeatures()
        await stream.write(StreamUserFeaturesRequest(request_id=1, request=_REQUEST))
        await stream.read()
        await _left_ready(gateway.channel)
        await stream.write(StreamUserFeaturesRequest(request_id=2, request=_REQUEST))
        assert (await stream.read()).request_id == 2
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


async def test_at_an_age_of_0_connections_are_kept(settings: Settings) -> None:
    async with asyncio.timeout(_BOUND_S), serving(replace(settings, max_connection_age_s=0.0)) as gateway:
        await gateway.stub.GetUserFeatures(_REQUEST)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_left_ready(gateway.channel), timeout=0.5)
