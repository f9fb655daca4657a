"""A gateway that ends tells its clients to leave, by GOAWAY, while it still answers their calls."""

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from feature_gateway.grpc_api import leaving
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, health_becomes
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from grpc_health.v1 import health_pb2, health_pb2_grpc
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_ENDLESS_S = 600.0
_LONGER_THAN_TO_LEAVE_S = 1.5
_STILL_SENT = 30
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


async def test_answers_that_come_after_the_time_to_leave_are_all_sent_before_the_gateway_ends(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    """They come in the same moment, so the server has nothing to wait for while they are sent."""
    clients, callers, arrived, released = 20, 200, asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await released.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    settings = replace(settings, shutdown_grace_s=_ENDLESS_S)
    options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with asyncio.timeout(TIMEOUT_S), gateway_process(settings) as gateway, AsyncExitStack() as until:
        channels = [grpc.aio.insecure_channel(gateway.grpc, options=options) for _ in range(clients)]
        stubs = [UserFeatureServiceStub(await until.enter_async_context(channel)) for channel in channels]
        calls = [
            asyncio.ensure_future(stubs[number % clients].GetUserFeatures(_REQUEST, timeout=TIMEOUT_S))
            for number in range(callers)
        ]
        await arrived.wait()
        # Those behind the first one share a read.
        await _queued(gateway, callers - 1)
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.line_with("ending")
        await gateway.refuses_connections()
        done, _ = await asyncio.wait(calls, timeout=_LONGER_THAN_TO_LEAVE_S)
        assert not done
        released.set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert await gateway.process.wait() == 0
    assert [one for one in ended if isinstance(one, BaseException)] == []


async def _queued(gateway: GatewayProcess, count: int) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{gateway.http_url}/metrics") as response:
                if f"gateway_queued_calls {count:.1f}\n" in await response.text():
                    return


async def test_connections_are_quiet_when_no_call_is_answered_and_nothing_is_sent_any_more() -> None:
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answering, looked, sent = True, 0, 0

    def busy() -> bool:
        nonlocal looked, sent
        looked += 1
        if not answering and sent < _STILL_SENT:
            # As a server's own threads do, once the calls have ended.
            sent += 1
            writers[0].write(b"x")
        return answering

    async with asyncio.timeout(TIMEOUT_S):
        quiet = asyncio.ensure_future(leaving.until_quiet(port, busy=busy, timeout_s=_ENDLESS_S))
        while looked < 2 * _STILL_SENT:  # noqa: ASYNC110  # it is not told
            await asyncio.sleep(0)
        assert not quiet.done()
        answering = False
        await quiet
        assert await reader.readexactly(_STILL_SENT) == b"x" * _STILL_SENT
        writer.close()
        writers[0].close()
        server.close()
    assert sent == _STILL_SENT


async def test_a_port_without_connections_is_quiet() -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await leaving.until_quiet(1, busy=lambda: True, timeout_s=_ENDLESS_S)


async def test_connections_that_are_never_quiet_are_waited_for_no_longer_than_allowed() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(TIMEOUT_S):
        await leaving.until_quiet(port, busy=lambda: True, timeout_s=0.05)
    writer.close()
    server.close()
