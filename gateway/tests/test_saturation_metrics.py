"""What `/metrics` says of slots, queue, streams, connections, the event loop and each feature server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import ClientSession, web
from feature_gateway.access.caller import ANYONE
from feature_gateway.feature_server_metrics import FeatureServerMetrics
from feature_gateway.gauges import _MEANINGS, Readings
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, health_becomes, running_feature_server, serving
from held_answers import HeldAnswers
from lookup_bed import lookup_before
from metric_samples import BOUND_S, USER, ask, by_labels, samples_in, samples_of, samples_once, value
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest


@pytest.fixture(params=["grpcio", "native"])
def grpc_engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _answer(request: web.Request) -> web.Response:
    return web.json_response(feast_answer(await request.json()))


async def test_slots_and_queue_show_how_full_they_are(settings: Settings, feature_server: FakeFeatureServer) -> None:
    held = feature_server.answer = HeldAnswers(_answer)
    urls = (feature_server.url, f"{feature_server.url}/second")
    async with serving(replace(settings, feature_server_urls=urls, max_queued_calls=77)) as gateway:
        # The canary reads of the start take no slot.
        calls = [asyncio.ensure_future(ask(gateway)) for _ in range(5)]
        samples = await samples_once(gateway, lambda samples: value(samples, "gateway_queued_calls") == 3)
        held.gate.set()
        await asyncio.gather(*calls)
        after = await samples_of(gateway)
    assert value(samples, "gateway_slots") == value(samples, "gateway_slots_taken") == 2
    assert value(samples, "gateway_queued_groups") == 1
    assert value(samples, "gateway_max_queued_calls") == 77
    assert value(after, "gateway_queued_groups") == value(after, "gateway_queued_calls") == 0


async def test_calls_whose_time_runs_out_in_the_queue_are_counted_and_no_others(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    held = feature_server.answer = HeldAnswers(_answer)
    async with serving(settings) as gateway:
        first = asyncio.ensure_future(ask(gateway))
        async with asyncio.timeout(BOUND_S):
            await held.arrived.wait()
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=USER), timeout=0.5)
        await samples_once(gateway, lambda samples: value(samples, "gateway_queue_timeouts_total") == 1)
        leaves = asyncio.ensure_future(ask(gateway))
        await samples_once(gateway, lambda samples: value(samples, "gateway_queued_calls") == 1)
        leaves.cancel()
        await samples_once(gateway, lambda samples: value(samples, "gateway_queued_calls") == 0)
        held.gate.set()
        await first
        samples = await samples_of(gateway)
    # The caller who left had time.
    assert value(samples, "gateway_queue_timeouts_total") == 1


async def test_open_streams_are_counted(settings: Settings) -> None:
    end = asyncio.Event()

    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        yield StreamUserFeaturesRequest(request=GetUserFeaturesRequest(user_id=USER))
        await end.wait()

    async with serving(replace(settings, max_streams=9)) as gateway:
        stream: Any = gateway.stub.StreamUserFeatures(messages(), timeout=BOUND_S)
        answers = aiter(stream)
        await anext(answers)
        samples = await samples_of(gateway)
        assert (value(samples, "gateway_streams"), value(samples, "gateway_max_streams")) == (1, 9)
        end.set()
        assert [answer async for answer in answers] == []
        await samples_once(gateway, lambda samples: value(samples, "gateway_streams") == 0)


async def test_open_connections_are_counted_by_port(settings: Settings) -> None:
    def opened(samples: Any) -> dict[tuple[str, ...], float]:
        return by_labels(samples, "gateway_connections", "port")

    limits = replace(settings, admin_port=0, max_connections=50, max_http_connections=60)
    async with serving(limits) as gateway, AsyncExitStack() as stack:
        admin_url = f"http://{gateway.addresses.admin}"
        admin = await stack.enter_async_context(ClientSession(admin_url))

        async def samples() -> Any:
            async with admin.get("/metrics") as response:
                return samples_in(await response.text())

        before = opened(await samples())
        assert before == {("grpc",): 0, ("http",): 0, ("admin",): 1}
        for _ in range(3):
            # Otherwise channels of one process share a connection.
            options = (("grpc.use_local_subchannel_pool", 1),)
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(gateway.addresses.grpc, options=options)
            )
            await channel.channel_ready()
        http = await stack.enter_async_context(ClientSession(gateway.http_url))
        async with http.get(f"/features/{USER}") as response:
            await response.read()
        now = await samples()
    assert opened(now) == {("grpc",): 3, ("http",): 1, ("admin",): 1}
    assert by_labels(now, "gateway_max_connections", "port") == {("grpc",): 50, ("http",): 60, ("admin",): 60}


async def test_an_event_loop_that_is_held_up_shows(gateway: Gateway) -> None:
    before = value(await samples_of(gateway), "gateway_event_loop_lag_seconds_sum")
    # The gateway runs on the test's loop.
    time.sleep(0.5)  # noqa: ASYNC251  # that is the fault
    await samples_once(gateway, lambda samples: value(samples, "gateway_event_loop_lag_seconds_sum") - before >= 0.3)


async def test_each_feature_server_shows_what_it_was_asked(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    dead = "http://127.0.0.1:1"
    # The trial of the start would eject it before a read meets it.
    async with serving(replace(settings, feature_server_urls=(dead, feature_server.url), start_trial_s=0.0)) as gateway:
        async with asyncio.timeout(BOUND_S):
            await health_becomes(gateway.channel, "SERVING")
        for _ in range(3):
            await ask(gateway)
        samples = await samples_of(gateway)
    reads = by_labels(samples, "gateway_feature_server_read_duration_seconds_count", "feature_server", "outcome")
    assert reads[feature_server.url, "answered"] >= 3
    assert reads[feature_server.url, "failed"] == 0
    assert reads[dead, "answered"] == 0
    assert reads[dead, "failed"] >= 1
    assert by_labels(samples, "gateway_feature_server_ejected", "feature_server") == {
        (dead,): 1,
        (feature_server.url,): 0,
    }
    assert value(samples, "gateway_feature_server_ejections_total", feature_server=dead) == 1
    taken_s = value(
        samples,
        "gateway_feature_server_read_duration_seconds_sum",
        feature_server=feature_server.url,
        outcome="answered",
    )
    assert taken_s > 0


async def test_a_read_that_nobody_waits_for_is_given_up_and_a_dropped_server_has_no_series(contract_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = FeatureServerMetrics(registry)

    def reads() -> dict[tuple[str, ...], float]:
        samples = samples_in(generate_latest(registry).decode())
        name = "gateway_feature_server_read_duration_seconds_count"
        return by_labels(samples, name, "feature_server", "outcome")

    async with running_feature_server() as fake, lookup_before([fake.url], contract_path) as (lookup, pool):
        metrics.states = lambda: pool.states
        held = fake.answer = HeldAnswers(_answer)
        feature_set = lookup.contract.services["churn_v1"]
        rows = lookup.rows(feature_set, {"user_id": [USER]}, caller=ANYONE, remaining_s=None)
        call = asyncio.ensure_future(rows)
        async with asyncio.timeout(BOUND_S):
            await held.arrived.wait()
            call.cancel()
            while reads()[fake.url, "given_up"] < 1:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0)
        pool.set_urls([f"{fake.url}/other"])
        assert {url for url, _ in reads()} == {f"{fake.url}/other"}


def test_each_gauge_is_read_from_the_part_that_knows() -> None:
    assert Readings.__required_keys__ == _MEANINGS.keys()
