"""What `/metrics` counts, through a running gateway; and that the README's table says what there is."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.contract.file import load_contract
from feature_gateway.metrics import Metrics
from feature_gateway.settings import Settings
from feature_gateway.values import FeatureStatus
from gateway_fakes import CANARY_USER_ID, FakeFeatureServer, Gateway, feast_answer, health_becomes, serving
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

_USER = "3413-BMNZE"
_BOUND_S = 20

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def _http(gateway: Gateway, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path) as response:
        return response.status, await response.text()


async def _text(gateway: Gateway) -> str:
    status, text = await _http(gateway, "/metrics")
    assert status == 200
    return text


async def _samples(gateway: Gateway) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(await _text(gateway))
        for sample in family.samples
    }


async def _samples_once(gateway: Gateway, condition: Callable[[Samples], bool]) -> Samples:
    async with asyncio.timeout(_BOUND_S):
        while not condition(samples := await _samples(gateway)):
            pass
        return samples


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def _calls(samples: Samples) -> dict[tuple[str, str], float]:
    return {
        (dict(labels)["method"], dict(labels)["code"]): value
        for (name, labels), value in samples.items()
        if name == "gateway_calls_total"
    }


async def _call(gateway: Gateway, **fields: Any) -> None:
    request = GetUserFeaturesRequest(**{"user_id": _USER, **fields})
    try:
        await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)
    except grpc.aio.AioRpcError:
        return


async def test_calls_are_counted_by_method_and_code(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    await _call(gateway)
    await _call(gateway)
    await _call(gateway, user_id="nobody")
    await _call(gateway, feature_service="nope")
    for path in ("", "?feature_service=nope", "?feature_service=a&feature=b"):
        await _http(gateway, f"/features/{_USER}{path}")

    async def down(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    feature_server.answer = down
    await _call(gateway)
    await _http(gateway, f"/features/{_USER}")
    samples = await _samples(gateway)
    assert _calls(samples) == {
        ("GetUserFeatures", "OK"): 2,
        ("GetUserFeatures", "INVALID_ARGUMENT"): 1,
        ("GetUserFeatures", "NOT_FOUND"): 1,
        ("GetUserFeatures", "UNAVAILABLE"): 1,
        ("http:/features", "OK"): 1,
        ("http:/features", "NOT_FOUND"): 1,
        ("http:/features", "INVALID_ARGUMENT"): 1,
        ("http:/features", "UNAVAILABLE"): 1,
    }
    assert _value(samples, "gateway_call_duration_seconds_count", method="GetUserFeatures") == 5
    assert _value(samples, "gateway_call_duration_seconds_count", method="http:/features") == 4
    assert _value(samples, "gateway_queue_duration_seconds_count") == 5
    assert _value(samples, "gateway_read_users_sum") == 5
    assert _value(samples, "gateway_read_duration_seconds_count", outcome="answered") == 3
    assert _value(samples, "gateway_read_duration_seconds_count", outcome="failed") == 2


async def test_a_batch_is_one_call_and_each_message_of_a_stream_is_one(gateway: Gateway) -> None:
    users = [f"{number:04d}-AAAAA" for number in range(3)]
    await gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=users), timeout=_BOUND_S)

    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        for user_id in (*users, "nobody"):
            yield StreamUserFeaturesRequest(request=GetUserFeaturesRequest(user_id=user_id))

    answers: Any = gateway.stub.StreamUserFeatures(messages(), timeout=_BOUND_S)
    assert len([answer async for answer in answers]) == 4
    samples = await _samples(gateway)
    assert _calls(samples) == {
        ("BatchGetUserFeatures", "OK"): 1,
        ("StreamUserFeatures", "OK"): 3,
        ("StreamUserFeatures", "INVALID_ARGUMENT"): 1,
    }
    assert _value(samples, "gateway_feature_statuses_total", feature_view="profile_fv", status="PRESENT") == 6 * 3


async def test_a_caller_that_gives_up_is_counted_as_cancelled(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    arrived = asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    feature_server.answer = wait
    call = asyncio.ensure_future(_call(gateway))
    async with asyncio.timeout(_BOUND_S):
        await arrived.wait()
    call.cancel()
    samples = await _samples_once(gateway, lambda samples: bool(_calls(samples)))
    assert _calls(samples) == {("GetUserFeatures", "CANCELLED"): 1}


async def test_statuses_are_counted_by_feature_view(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    references = ["profile_fv:plan_stream_tv", "usage_fv:watch_hours", "profile_fv:net_service", "usage_fv:score"]
    for _ in range(2):
        await _call(gateway, feature_references=FeatureReferences(references=references))
    samples = await _samples(gateway)

    def count(view: str, status: str) -> float:
        return _value(samples, "gateway_feature_statuses_total", feature_view=view, status=status)

    assert count("profile_fv", "NULL_VALUE") == 2
    assert count("profile_fv", "PRESENT") == 2
    assert count("usage_fv", "OUTSIDE_MAX_AGE") == 4
    assert len(feature_server.requests) == 2


async def test_no_user_stands_in_the_metrics(gateway: Gateway) -> None:
    for user_id in (_USER, "0001-AAAAA", "nobody"):
        await _call(gateway, user_id=user_id)
        await _http(gateway, f"/features/{user_id}")
    text = await _text(gateway)
    for user_id in (_USER, "0001-AAAAA", "nobody", CANARY_USER_ID):
        assert user_id not in text


async def test_a_method_that_is_not_there_makes_no_label(gateway: Gateway) -> None:
    for path in ("/streamflow.features.v1.UserFeatureService/GetSecrets", "/no.Such/Method"):
        unknown: Any = gateway.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError):
            await unknown(b"", timeout=_BOUND_S)
    for path in ("/secrets", "/features", "/health"):
        await _http(gateway, path)
    text = await _text(gateway)
    assert "GetSecrets" not in text
    assert "no.Such" not in text
    assert "secrets" not in text
    assert _calls(await _samples(gateway)) == {}


async def test_a_read_for_several_and_who_shared_a_place_in_it_are_counted(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await free.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    users = ["0001-AAAAA", "0002-AAAAA", "0003-AAAAA", "0002-AAAAA", "0002-AAAAA"]
    first = asyncio.ensure_future(_call(gateway, user_id=_USER))
    await _samples_once(gateway, lambda samples: _value(samples, "gateway_reads_in_flight") == 1)
    calls = [asyncio.ensure_future(_call(gateway, user_id=user_id)) for user_id in users]
    await _samples_once(gateway, lambda samples: _value(samples, "gateway_queued_calls") == 5)
    free.set()
    await asyncio.gather(first, *calls)
    samples = await _samples(gateway)
    assert _value(samples, "gateway_read_users_count") == 2
    assert _value(samples, "gateway_read_users_sum") == 4
    assert _value(samples, "gateway_read_users_bucket", le="1.0") == 1
    assert _value(samples, "gateway_deduplicated_users_total") == 2
    assert _value(samples, "gateway_queue_duration_seconds_count") == 6
    assert _value(samples, "gateway_queue_duration_seconds_bucket", le="0.0005") == 1
    assert _value(samples, "gateway_queued_calls") == _value(samples, "gateway_reads_in_flight") == 0


async def test_a_refused_call_is_counted(settings: Settings, feature_server: FakeFeatureServer) -> None:
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await free.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    async with serving(replace(settings, max_queued_calls=1)) as gateway:
        calls = [asyncio.ensure_future(_call(gateway)) for _ in range(5)]
        samples = await _samples_once(gateway, lambda samples: _value(samples, "gateway_refused_calls_total") == 3)
        assert _calls(samples) == {("GetUserFeatures", "RESOURCE_EXHAUSTED"): 3}
        free.set()
        await asyncio.gather(*calls)


async def test_a_feature_server_that_is_ejected_shows(settings: Settings, feature_server: FakeFeatureServer) -> None:
    urls = ("http://127.0.0.1:1", feature_server.url)
    # The trial of the start would eject it before a read meets it.
    async with serving(replace(settings, feature_server_urls=urls, start_trial_s=0.0)) as gateway:
        async with asyncio.timeout(_BOUND_S):
            await health_becomes(gateway.channel, "SERVING")
        await _call(gateway)
        samples = await _samples(gateway)
    assert _calls(samples) == {("GetUserFeatures", "OK"): 1}
    assert _value(samples, "gateway_replicas") == 2
    assert _value(samples, "gateway_replicas_set_aside") == 1
    assert _value(samples, "gateway_replica_set_asides_total") == 1
    assert _value(samples, "gateway_read_retries_total") == 1
    assert _value(samples, "gateway_ready") == 1


async def test_a_hedged_read_is_counted(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async def one_hangs(request: web.Request) -> web.Response:
        if not request.path.startswith("/second/"):
            await asyncio.Event().wait()
        return web.json_response(feast_answer(await request.json()))

    urls = (feature_server.url, f"{feature_server.url}/second")
    async with serving(replace(settings, feature_server_urls=urls, hedge=True)) as gateway:
        # So many must have been timed before any is called slow.
        for _ in range(25):
            await _call(gateway)
        before = _value(await _samples(gateway), "gateway_read_hedges_total")
        feature_server.answer = one_hangs
        for _ in range(4):
            await _call(gateway)
        samples = await _samples(gateway)
    assert _value(samples, "gateway_read_hedges_total") > before
    assert _calls(samples) == {("GetUserFeatures", "OK"): 29}


async def test_the_contract_that_is_answered_by_is_named(gateway: Gateway, settings: Settings) -> None:
    contract = load_contract(settings.contract_path)
    assert _value(await _samples(gateway), "gateway_contract_info", hash=contract.hash) == 1


async def test_the_share_of_calls_within_the_budget_is_exact(gateway: Gateway) -> None:
    await _call(gateway)
    samples = await _samples(gateway)
    bounds = [dict(labels)["le"] for name, labels in samples if name == "gateway_call_duration_seconds_bucket"]
    assert "0.02" in bounds


def test_rows_of_more_kinds_than_are_gathered_are_counted_all_the_same(
    contract_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_gateway.metrics._MAX_KINDS_OF_ROW", 2)
    metrics = Metrics(CollectorRegistry(), methods=())
    feature_set = load_contract(contract_path).services["scores_v1"]
    for first in FeatureStatus:
        for second in FeatureStatus:
            metrics.row_answered(feature_set, (first, second))
    text = metrics.exposition().decode()
    for view in ("profile_fv", "usage_fv"):
        for status in FeatureStatus:
            assert f'{{feature_view="{view}",status="{status.name}"}} 4.0' in text


def test_the_readme_has_every_metric_and_no_other(contract_path: Path) -> None:
    metrics = Metrics(CollectorRegistry(), methods=("GetUserFeatures",))
    metrics.call_ended("GetUserFeatures", grpc.StatusCode.OK, 0.001)
    feature_set = load_contract(contract_path).services["scores_v1"]
    metrics.row_answered(feature_set, (FeatureStatus.PRESENT,) * 2)
    text = metrics.exposition().decode()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = re.sub("_(bucket|sum|count)$", "", sample.name) if family.type == "histogram" else sample.name
            labels.setdefault(name, set()).update(set(sample.labels) - {"le"})
    helps = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    table = re.findall(
        r"^\| `(gateway_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$",
        (Path(__file__).parent.parent / "README.md").read_text(),
        re.MULTILINE,
    )
    assert {name: (kind, set(re.findall(r"`(\w+)`", names)), meaning) for name, kind, names, meaning in table} == {
        name: (types[name], labels[name], helps[name]) for name in helps
    }
    assert all(name.startswith("gateway_") for name in helps)
