"""What `/metrics` counts, through a running gateway; and that the README's table says what there is."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from feature_gateway.contract.file import load_contract
from feature_gateway.settings import Settings
from gateway_fakes import CANARY_USER_ID, FakeFeatureServer, Gateway, feast_answer, health_becomes, serving
from metric_samples import (
    BOUND_S,
    USER,
    ask,
    calls_by_code,
    errors_by_reason,
    http,
    metrics_text,
    samples_of,
    samples_once,
    value,
)
from prometheus_client.parser import text_string_to_metric_families
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

_STREAM = "/streamflow.features.v1.UserFeatureService/StreamUserFeatures"


@pytest.fixture(params=["grpcio", "native"])
def grpc_engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_calls_are_counted_by_method_and_code_and_their_errors_by_reason(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await ask(gateway)
    await ask(gateway)
    await ask(gateway, user_id="nobody")
    await ask(gateway, feature_service="nope")
    for path in ("", "?feature_service=nope", "?feature_service=a&feature=b"):
        await http(gateway, f"/features/{USER}{path}")

    async def down(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    feature_server.answer = down
    await ask(gateway)
    await http(gateway, f"/features/{USER}")
    samples = await samples_of(gateway)
    assert calls_by_code(samples) == {
        ("GetUserFeatures", "OK"): 2,
        ("GetUserFeatures", "INVALID_ARGUMENT"): 1,
        ("GetUserFeatures", "NOT_FOUND"): 1,
        ("GetUserFeatures", "UNAVAILABLE"): 1,
        ("http:/features", "OK"): 1,
        ("http:/features", "NOT_FOUND"): 1,
        ("http:/features", "INVALID_ARGUMENT"): 1,
        ("http:/features", "UNAVAILABLE"): 1,
    }
    assert errors_by_reason(samples) == {
        ("GetUserFeatures", "USER_ID_MALFORMED"): 1,
        ("GetUserFeatures", "FEATURE_SERVICE_UNKNOWN"): 1,
        ("GetUserFeatures", "UPSTREAM_UNAVAILABLE"): 1,
        ("http:/features", "FEATURE_SERVICE_UNKNOWN"): 1,
        ("http:/features", "INVALID_ARGUMENT"): 1,
        ("http:/features", "UPSTREAM_UNAVAILABLE"): 1,
    }
    assert value(samples, "gateway_call_duration_seconds_count", method="GetUserFeatures") == 5
    assert value(samples, "gateway_call_duration_seconds_count", method="http:/features") == 4
    assert value(samples, "gateway_queue_duration_seconds_count") == 5
    assert value(samples, "gateway_read_users_sum") == 5
    assert value(samples, "gateway_read_duration_seconds_count", outcome="answered") == 3
    assert value(samples, "gateway_read_duration_seconds_count", outcome="failed") == 2


async def test_a_batch_is_one_call_and_each_message_of_a_stream_is_one(gateway: Gateway) -> None:
    users = [f"{number:04d}-AAAAA" for number in range(3)]
    await gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=users), timeout=BOUND_S)

    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        for user_id in (*users, "nobody"):
            yield StreamUserFeaturesRequest(request=GetUserFeaturesRequest(user_id=user_id))

    answers: Any = gateway.stub.StreamUserFeatures(messages(), timeout=BOUND_S)
    assert len([answer async for answer in answers]) == 4
    samples = await samples_of(gateway)
    assert calls_by_code(samples) == {
        ("BatchGetUserFeatures", "OK"): 1,
        ("StreamUserFeatures", "OK"): 3,
        ("StreamUserFeatures", "INVALID_ARGUMENT"): 1,
    }
    assert errors_by_reason(samples) == {("StreamUserFeatures", "USER_ID_MALFORMED"): 1}
    assert value(samples, "gateway_feature_statuses_total", feature_view="profile_fv", status="PRESENT") == 6 * 3


async def test_a_stream_that_fails_as_a_whole_is_counted_by_reason(gateway: Gateway) -> None:
    stream: Any = gateway.channel.stream_stream(_STREAM)
    with pytest.raises(grpc.aio.AioRpcError):
        await anext(aiter(stream(iter([b"\xff"]), timeout=BOUND_S)))
    samples = await samples_of(gateway)
    assert value(samples, "gateway_stream_errors_total", reason="REQUEST_MALFORMED") == 1
    assert calls_by_code(samples) == {}


async def test_a_caller_that_gives_up_is_counted_as_cancelled(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    arrived = asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    feature_server.answer = wait
    call = asyncio.ensure_future(ask(gateway))
    async with asyncio.timeout(BOUND_S):
        await arrived.wait()
    call.cancel()
    samples = await samples_once(gateway, lambda samples: bool(calls_by_code(samples)))
    assert calls_by_code(samples) == {("GetUserFeatures", "CANCELLED"): 1}
    assert errors_by_reason(samples) == {("GetUserFeatures", "CANCELLED"): 1}


async def test_no_user_stands_in_the_metrics(gateway: Gateway) -> None:
    for user_id in (USER, "0001-AAAAA", "nobody"):
        await ask(gateway, user_id=user_id)
        await http(gateway, f"/features/{user_id}")
    text = await metrics_text(gateway)
    for user_id in (USER, "0001-AAAAA", "nobody", CANARY_USER_ID):
        assert user_id not in text


async def test_a_method_that_is_not_there_makes_no_label(gateway: Gateway) -> None:
    for path in ("/streamflow.features.v1.UserFeatureService/GetSecrets", "/no.Such/Method"):
        unknown: Any = gateway.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError):
            await unknown(b"", timeout=BOUND_S)
    for path in ("/secrets", "/features", "/health"):
        await http(gateway, path)
    text = await metrics_text(gateway)
    assert "GetSecrets" not in text
    assert "no.Such" not in text
    assert "secrets" not in text
    assert calls_by_code(await samples_of(gateway)) == {}


async def test_a_read_for_several_and_who_shared_a_place_in_it_are_counted(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await free.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    users = ["0001-AAAAA", "0002-AAAAA", "0003-AAAAA", "0002-AAAAA", "0002-AAAAA"]
    first = asyncio.ensure_future(ask(gateway, user_id=USER))
    await samples_once(gateway, lambda samples: value(samples, "gateway_reads_in_flight") == 1)
    calls = [asyncio.ensure_future(ask(gateway, user_id=user_id)) for user_id in users]
    await samples_once(gateway, lambda samples: value(samples, "gateway_queued_calls") == 5)
    free.set()
    await asyncio.gather(first, *calls)
    samples = await samples_of(gateway)
    assert value(samples, "gateway_read_users_count") == 2
    assert value(samples, "gateway_read_users_sum") == 4
    assert value(samples, "gateway_read_users_bucket", le="1.0") == 1
    assert value(samples, "gateway_deduplicated_users_total") == 2
    assert value(samples, "gateway_queue_duration_seconds_count") == 6
    assert value(samples, "gateway_queue_duration_seconds_bucket", le="0.0005") == 1
    assert value(samples, "gateway_queued_calls") == value(samples, "gateway_reads_in_flight") == 0


async def test_a_refused_call_is_counted(settings: Settings, feature_server: FakeFeatureServer) -> None:
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await free.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    async with serving(replace(settings, max_queued_calls=1)) as gateway:
        calls = [asyncio.ensure_future(ask(gateway)) for _ in range(5)]
        samples = await samples_once(gateway, lambda samples: value(samples, "gateway_refused_calls_total") == 3)
        assert calls_by_code(samples) == {("GetUserFeatures", "RESOURCE_EXHAUSTED"): 3}
        assert errors_by_reason(samples) == {("GetUserFeatures", "OVERLOADED"): 3}
        free.set()
        await asyncio.gather(*calls)


async def test_a_feature_server_that_is_ejected_shows(settings: Settings, feature_server: FakeFeatureServer) -> None:
    urls = ("http://127.0.0.1:1", feature_server.url)
    # The trial of the start would eject it before a read meets it.
    async with serving(replace(settings, feature_server_urls=urls, start_trial_s=0.0)) as gateway:
        async with asyncio.timeout(BOUND_S):
            await health_becomes(gateway.channel, "SERVING")
        await ask(gateway)
        samples = await samples_of(gateway)
    assert calls_by_code(samples) == {("GetUserFeatures", "OK"): 1}
    assert value(samples, "gateway_replicas") == 2
    assert value(samples, "gateway_replicas_set_aside") == 1
    assert value(samples, "gateway_replica_set_asides_total") == 1
    assert value(samples, "gateway_read_retries_total") == 1
    assert value(samples, "gateway_ready") == 1


async def test_a_hedged_read_is_counted(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async def one_hangs(request: web.Request) -> web.Response:
        if not request.path.startswith("/second/"):
            await asyncio.Event().wait()
        return web.json_response(feast_answer(await request.json()))

    urls = (feature_server.url, f"{feature_server.url}/second")
    async with serving(replace(settings, feature_server_urls=urls, hedge=True)) as gateway:
        # So many must have been timed before any is called slow.
        for _ in range(25):
            await ask(gateway)
        before = value(await samples_of(gateway), "gateway_read_hedges_total")
        feature_server.answer = one_hangs
        for _ in range(4):
            await ask(gateway)
        samples = await samples_of(gateway)
    assert value(samples, "gateway_read_hedges_total") > before
    assert calls_by_code(samples) == {("GetUserFeatures", "OK"): 29}


async def test_the_contract_that_is_answered_by_is_named(gateway: Gateway, settings: Settings) -> None:
    contract = load_contract(settings.contract_path)
    assert value(await samples_of(gateway), "gateway_contract_info", hash=contract.hash) == 1


async def test_the_share_of_calls_within_the_budget_is_exact(gateway: Gateway) -> None:
    await ask(gateway)
    samples = await samples_of(gateway)
    bounds = [dict(labels)["le"] for name, labels in samples if name == "gateway_call_duration_seconds_bucket"]
    assert "0.02" in bounds


async def test_the_readme_has_every_metric_and_no_other(gateway: Gateway) -> None:
    await ask(gateway)
    await ask(gateway, user_id="nobody")
    stream: Any = gateway.channel.stream_stream(_STREAM)
    with pytest.raises(grpc.aio.AioRpcError):
        await anext(aiter(stream(iter([b"\xff"]), timeout=BOUND_S)))
    text = await metrics_text(gateway)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            shared = family.type in {"histogram", "summary"}
            name = re.sub("_(bucket|sum|count)$", "", sample.name) if shared else sample.name
            labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    table = re.findall(
        r"^\| `(gateway_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$",
        (Path(__file__).parent.parent / "README.md").read_text(),
        re.MULTILINE,
    )
    ours = [name for name in helps if not name.startswith("process_")]
    assert {name: (kind, set(re.findall(r"`(\w+)`", names)), meaning) for name, kind, names, meaning in table} == {
        name: (types[name], labels[name], helps[name]) for name in ours
    }
    assert all(name.startswith("gateway_") for name in ours)
    if sys.platform == "linux":
        assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"} <= helps.keys()
