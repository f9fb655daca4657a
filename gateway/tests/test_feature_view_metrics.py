"""What `/metrics` says of each feature view: statuses, the ages of rows, and only the views of the contract."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from any_entity import any_entity_content
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.file import load_contract
from feature_gateway.contract.model import Contract
from feature_gateway.feature_view_metrics import FeatureViewMetrics
from feature_gateway.server import Controls, running_gateway
from feature_gateway.settings import Settings
from feature_gateway.values import FeatureStatus, Judgement
from gateway_fakes import (
    NEVER_WRITTEN,
    FakeFeatureServer,
    Gateway,
    contract_content,
    feast_answer,
    loaded_contract,
    service_entry,
    with_hash,
)
from metric_samples import BOUND_S, Samples, ask, by_labels, samples_in, samples_of, samples_once, value
from on_demand import on_demand_content
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from streamflow.features.v1.user_feature_service_pb2 import FeatureReferences, GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_DAY_S = 86400
_NS = 10**9
_EVENT_S = 1709164800
"""EVENT_TIMESTAMP, in seconds since 1970."""


def _views(samples: Samples) -> set[str]:
    return {dict(labels)["feature_view"] for _, labels in samples if "feature_view" in dict(labels)}


async def test_statuses_are_counted_by_feature_view(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    references = ["profile_fv:plan_stream_tv", "usage_fv:watch_hours", "profile_fv:net_service", "usage_fv:score"]
    for _ in range(2):
        await ask(gateway, feature_references=FeatureReferences(references=references))
    samples = await samples_of(gateway)
    assert by_labels(samples, "gateway_feature_statuses_total", "feature_view", "status") == {
        ("profile_fv", "PRESENT"): 2,
        ("profile_fv", "NULL_VALUE"): 2,
        ("profile_fv", "NOT_FOUND"): 0,
        ("profile_fv", "OUTSIDE_MAX_AGE"): 0,
        ("usage_fv", "PRESENT"): 0,
        ("usage_fv", "NULL_VALUE"): 0,
        ("usage_fv", "NOT_FOUND"): 0,
        ("usage_fv", "OUTSIDE_MAX_AGE"): 4,
    }
    assert len(feature_server.requests) == 2


async def test_the_age_of_each_views_row_is_counted_once_an_answer(gateway: Gateway) -> None:
    references = ["profile_fv:net_service", "usage_fv:watch_hours", "usage_fv:score"]
    earliest_s = time.time() - _EVENT_S
    for _ in range(3):
        await ask(gateway, feature_references=FeatureReferences(references=references))
    samples = await samples_of(gateway)
    for view in ("profile_fv", "usage_fv"):
        assert value(samples, "gateway_feature_age_seconds_count", feature_view=view) == 3
        mean_s = value(samples, "gateway_feature_age_seconds_sum", feature_view=view) / 3
        assert earliest_s <= mean_s <= time.time() - _EVENT_S


async def test_a_view_without_a_row_has_no_age(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async def unknown(request: web.Request) -> web.Response:
        answer = feast_answer(await request.json(), stamp=NEVER_WRITTEN)
        for column in answer["results"][1:]:
            column["values"] = [None] * len(column["values"])
        return web.json_response(answer)

    feature_server.answer = unknown
    await ask(gateway, feature_references=FeatureReferences(references=["usage_fv:score"]))
    samples = await samples_of(gateway)
    assert value(samples, "gateway_feature_statuses_total", feature_view="usage_fv", status="NOT_FOUND") == 1
    assert value(samples, "gateway_feature_age_seconds_count", feature_view="usage_fv") == 0


async def test_maximum_ages_are_those_of_the_contract(gateway: Gateway) -> None:
    found = by_labels(await samples_of(gateway), "gateway_feature_max_age_seconds", "feature_view")
    assert found == {("usage_fv",): _DAY_S}


async def test_a_contract_that_drops_a_view_drops_its_series(
    settings: Settings, feature_server: FakeFeatureServer, contract_path: Path
) -> None:
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        arrived.set()
        await answered.wait()
        return web.json_response(feast_answer(await request.json()))

    content = contract_content()
    content["feature_views"].pop()
    content["feature_services"].pop()
    controls = Controls()
    async with (
        asyncio.timeout(BOUND_S),
        running_gateway(settings, controls=controls) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):
        gateway = Gateway(addresses, UserFeatureServiceStub(channel), channel)
        usage = FeatureReferences(references=["usage_fv:score"])
        await ask(gateway, feature_references=usage)
        assert _views(await samples_of(gateway)) == {"profile_fv", "usage_fv"}
        feature_server.answer = held
        request = GetUserFeaturesRequest(user_id="0000-AAAAA", feature_references=usage)
        late = asyncio.ensure_future(gateway.stub.GetUserFeatures(request, timeout=BOUND_S))
        await arrived.wait()
        contract_path.write_text(json.dumps(with_hash(content)))  # noqa: ASYNC240  # a small file
        controls.reload_contract.set()
        await samples_once(gateway, lambda samples: _views(samples) == {"profile_fv"})
        answered.set()
        assert (await late).user_features.features
        assert _views(await samples_of(gateway)) == {"profile_fv"}


async def test_no_more_series_come_with_more_users_and_more_mistakes(gateway: Gateway) -> None:
    async def some(number: int) -> set[Any]:
        for fields in (
            {"user_id": f"{number:04d}-AAAAA"},
            {"user_id": f"nobody{number}"},
            {"feature_service": f"service_{number}"},
            {"feature_references": FeatureReferences(references=[f"view_{number}:feature"])},
            {"feature_references": FeatureReferences(references=[f"usage_fv:feature_{number}"])},
            {"feature_references": FeatureReferences(references=["usage_fv:score"] * 2)},
            {"contract_hash": f"sha256:{number}"},
        ):
            await ask(gateway, **fields)
        return set(await samples_of(gateway))

    known = await some(1)
    for number in range(2, 12):
        assert await some(number) == known


def _metrics(contract: Contract, *, now_s: float) -> tuple[FeatureViewMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    metrics = FeatureViewMetrics(registry, now_ns=lambda: int(now_s * _NS))
    metrics.max_ages = lambda: contract.max_ages
    return metrics, registry


def _samples(registry: CollectorRegistry) -> Samples:
    return samples_in(generate_latest(registry).decode())


def _present(feature_set: FeatureSet, *stamps_s: float | None) -> Judgement:
    assert len(stamps_s) == len(feature_set.features)
    stamps_ns = tuple(None if stamp is None else int(stamp * _NS) for stamp in stamps_s)
    return Judgement((FeatureStatus.PRESENT,) * len(stamps_s), stamps_ns, known=True)


def test_rows_of_more_kinds_than_are_kept_are_counted_all_the_same(
    contract_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_gateway.feature_view_metrics._MAX_KINDS", 2)
    contract = load_contract(contract_path)
    metrics, registry = _metrics(contract, now_s=0)
    for first in FeatureStatus:
        for second in FeatureStatus:
            metrics.answered(contract.services["scores_v1"], Judgement((first, second), (None, None), known=True), 4)
    counted = by_labels(_samples(registry), "gateway_feature_statuses_total", "feature_view", "status")
    assert counted == {(view, status.name): 16 for view in ("profile_fv", "usage_fv") for status in FeatureStatus}


def test_rows_are_as_old_as_when_they_are_added_up(contract_path: Path) -> None:
    contract = load_contract(contract_path)
    feature_set = contract.services["scores_v1"]
    metrics, registry = _metrics(contract, now_s=10 * _DAY_S)
    metrics.answered(feature_set, _present(feature_set, 8 * _DAY_S, 10 * _DAY_S + 60), 5)
    samples = _samples(registry)
    assert value(samples, "gateway_feature_age_seconds_sum", feature_view="profile_fv") == 5 * 2 * _DAY_S
    assert value(samples, "gateway_feature_age_seconds_bucket", feature_view="profile_fv", le=f"{2.0 * _DAY_S}") == 5
    assert value(samples, "gateway_feature_age_seconds_bucket", feature_view="profile_fv", le=f"{1.0 * _DAY_S}") == 0
    # Ahead of this clock.
    assert value(samples, "gateway_feature_age_seconds_sum", feature_view="usage_fv") == 0
    assert value(samples, "gateway_feature_age_seconds_count", feature_view="usage_fv") == 5


def test_both_rows_of_a_view_that_is_joined_twice_are_counted(tmp_path: Path) -> None:
    content = contract_content()
    service = service_entry("twice_v1", [("usage_fv", "score", "Float64", 86400.0)] * 2)
    service["by_name"] = True
    service["features"][1]["as"] = "friends_usage"
    content["feature_services"] = [service]
    contract = loaded_contract(tmp_path, content)
    feature_set = contract.services["twice_v1"]
    metrics, registry = _metrics(contract, now_s=100)
    metrics.answered(feature_set, _present(feature_set, 90, 70), 1)
    samples = _samples(registry)
    assert value(samples, "gateway_feature_age_seconds_count", feature_view="usage_fv") == 2
    assert value(samples, "gateway_feature_age_seconds_sum", feature_view="usage_fv") == 10 + 30


def test_an_on_demand_view_is_as_old_as_the_rows_it_is_computed_from(tmp_path: Path) -> None:
    contract = loaded_contract(tmp_path, on_demand_content())
    feature_set = contract.feature_set_of_references(["pace:pace_out", "plain:plain_out"])
    metrics, registry = _metrics(contract, now_s=100)
    metrics.answered(feature_set, _present(feature_set, 40, None), 1)
    samples = _samples(registry)
    assert value(samples, "gateway_feature_age_seconds_sum", feature_view="pace") == 60
    assert value(samples, "gateway_feature_age_seconds_count", feature_view="plain") == 0
    assert value(samples, "gateway_feature_statuses_total", feature_view="plain", status="PRESENT") == 1


def test_a_contracts_views_have_their_series_from_the_start(tmp_path: Path) -> None:
    contract = loaded_contract(tmp_path, any_entity_content())
    _, registry = _metrics(contract, now_s=0)
    assert _views(_samples(registry)) == contract.views.keys()
