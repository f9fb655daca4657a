"""A gateway that ends tells its clients to leave, by GOAWAY, while it still answers their calls."""

import asyncio
import signal
from dataclasses import replace
from typing import Any

import grpc
from feature_gateway.settings import Settings
from gateway_fakes import health_becomes
from gateway_process import TIMEOUT_S, gateway_process
from grpc_health.v1 import health_pb2, health_pb2_grpc
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_ENDLESS_S = 600.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
_GOAWAY = 7


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    header = await reader.readexactly(9)
    return header[3], await reader.readexactly(int.from_bytes(header[:3], "big"))


async def test_after_the_notice_every_connection_gets_goaway_that_refuses_no_call(settings: Settings) -> None:
    settings = replace(settings, drain_pause_s=_ENDLESS_S, drain_notice_s=0.0)
    async with asyncio.timeout(TIMEOUT_S), gateway_process(settings) as gateway:
        host, port = gateway.grpc.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_PREFACE)
        gateway.process.send_signal(signal.SIGTERM)
        while (frame := await _frame(reader))[0] != _GOAWAY:
            pass
        assert frame[1] == bytes.fromhex("7fffffff 00000000")
        writer.close()


async def test_a_call_that_is_sent_after_goaway_on_the_same_connection_is_answered(settings: Settings) -> None:
    settings = replace(settings, drain_pause_s=_ENDLESS_S, drain_notice_s=0.0)
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(settings) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        stub = UserFeatureServiceStub(channel)
        stream: Any = stub.StreamUserFeatures()
        await stream.write(StreamUserFeaturesRequest(request_id=1, request=_REQUEST))
        await stream.read()
        gateway.process.send_signal(signal.SIGTERM)
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        # The stream is on the connection that was told to leave, and the call on a new one.
        await stream.write(StreamUserFeaturesRequest(request_id=2, request=_REQUEST))
        assert (await stream.read()).request_id == 2
        assert (await stub.GetUserFeatures(_REQUEST)).user_features.user_known
        stream.cancel()


async def test_in_the_notice_balancers_are_told_and_clients_are_not(settings: Settings) -> None:
    settings = replace(settings, drain_pause_s=_ENDLESS_S, drain_notice_s=_ENDLESS_S)
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(settings) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        await health_becomes(channel, "SERVING")
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        gateway.process.send_signal(signal.SIGTERM)
        while (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING:
            pass
        told = asyncio.ensure_future(watch.read())
        await asyncio.wait({told}, timeout=0.2)
        assert not told.done()
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        # A second signal ends the pause.
        gateway.process.send_signal(signal.SIGTERM)
        assert (await told).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_gateway_that_its_clients_have_left_ends_at_once(settings: Settings) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(replace(settings, shutdown_grace_s=_ENDLESS_S)) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        await UserFeatureServiceStub(channel).GetUserFeatures(_REQUEST)
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.process.wait() == 0
