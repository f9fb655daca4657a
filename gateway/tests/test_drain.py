"""The end of a gateway costs no call: who follows health goes elsewhere first, and what is in flight is answered."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer, health_becomes, health_of
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from grpc_health.v1 import health_pb2, health_pb2_grpc
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, GetUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_ENDLESS_S = 600.0


async def _call(channel: grpc.aio.Channel) -> GetUserFeaturesResponse:
    return await UserFeatureServiceStub(channel).GetUserFeatures(_REQUEST, timeout=20)


async def test_in_the_drain_pause_health_says_no_and_calls_are_still_answered(settings: Settings) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(replace(settings, drain_pause_s=_ENDLESS_S)) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
        aiohttp.ClientSession() as session,
    ):
        await health_becomes(channel, "SERVING")
        gateway.process.send_signal(signal.SIGTERM)
        await health_becomes(channel, "NOT_SERVING")
        async with session.get(f"{gateway.http_url}/ready") as response:
            assert response.status == 503
            assert (await response.json(content_type=None))["detail"] == "The gateway is ending."
        async with session.get(f"{gateway.http_url}/features/3413-BMNZE") as response:
            assert response.status == 200
        assert (await _call(channel)).user_features.user_known
        assert await health_of(channel) == "NOT_SERVING"
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.process.wait() == 0


async def test_after_the_notice_an_http_connection_ends_with_its_next_answer(settings: Settings) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(replace(settings, drain_pause_s=_ENDLESS_S, drain_notice_s=0.0)) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def connection_ends() -> bool:
            async with session.get(f"{gateway.http_url}/features/3413-BMNZE") as response:
                assert response.status == 200
                return response.headers.get("Connection") == "close"

        assert not await connection_ends()
        gateway.process.send_signal(signal.SIGTERM)
        while not await connection_ends():
            pass
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.process.wait() == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts_the_drain_pause_short_and_not_the_calls(
    settings: Settings, feature_server: FakeFeatureServer, second: signal.Signals
) -> None:
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await answered.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(replace(settings, drain_pause_s=_ENDLESS_S)) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        call = asyncio.ensure_future(_call(channel))
        await arrived.wait()
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.line_with("draining")
        gateway.process.send_signal(second)
        await gateway.line_with("ending")
        await gateway.refuses_connections()
        answered.set()
        assert (await call).user_features.user_known
        assert await gateway.process.wait() == 0


async def test_an_open_watch_of_health_does_not_hold_up_the_end(settings: Settings) -> None:
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(replace(settings, shutdown_grace_s=_ENDLESS_S)) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = aiter(stub.Watch(health_pb2.HealthCheckRequest()))
        while (await anext(watch)).status != health_pb2.HealthCheckResponse.SERVING:
            pass
        gateway.process.send_signal(signal.SIGTERM)
        assert [answer.status async for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert await gateway.process.wait() == 0


@dataclass
class Load:
    """Calls without a pause from several callers, over a channel that follows health and tries nothing twice."""

    channel: grpc.aio.Channel
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        stub = UserFeatureServiceStub(self.channel)
        while not self.enough.is_set():
            try:
                await stub.GetUserFeatures(_REQUEST, timeout=10)
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"{error.code().name}: {error.details()}")
            else:
                self.answered += 1


@asynccontextmanager
async def _load(*targets: str) -> AsyncIterator[Load]:
    options = [
        (
            "grpc.service_config",
            json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}),
        ),
        ("grpc.enable_retries", 0),
        # The native engine refuses the list of addresses that gRPC would send.
        ("grpc.default_authority", "gateway"),
        # Back soon to a gateway that was away.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]
    async with grpc.aio.insecure_channel("ipv4:" + ",".join(targets), options=options) as channel:
        load = Load(channel)
        callers = [asyncio.create_task(load.run()) for _ in range(8)]
        try:
            yield load
        finally:
            load.enough.set()
            await asyncio.gather(*callers)


async def test_a_rolling_restart_of_two_gateways_loses_no_call_of_a_client_that_follows_health(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    asked = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def noted(request: web.Request) -> web.Response:
        asked[request.path.split("/")[1]].set()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = noted

    async def started(name: str, stack: AsyncExitStack, settings: Settings) -> GatewayProcess:
        upstream = replace(settings, feature_server_urls=(f"{feature_server.url}/{name}",))
        gateway = await stack.enter_async_context(gateway_process(upstream))
        async with grpc.aio.insecure_channel(gateway.grpc) as channel:
            await health_becomes(channel, "SERVING")
        return gateway

    # Within which the client hears of it, on a busy machine too.
    settings = replace(settings, drain_pause_s=3.0)
    async with asyncio.timeout(2 * TIMEOUT_S), AsyncExitStack() as stack:
        gateways = {name: await started(name, stack, settings) for name in asked}
        async with _load(*(gateway.grpc for gateway in gateways.values())) as load:
            for name, gateway in gateways.items():
                await asked[name].wait()
                gateway.process.send_signal(signal.SIGTERM)
                assert await gateway.process.wait() == 0
                asked[name].clear()
                port = int(gateway.grpc.split(":")[1])
                await started(name, stack, replace(settings, grpc_port=port))
                # The next one ends only when this one is being asked again.
                await asked[name].wait()
    assert load.failures == []
    assert load.answered > 100
