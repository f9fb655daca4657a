"""What a caller gets for a good request, over gRPC and over HTTP."""

import asyncio
import time
from dataclasses import replace

import aiohttp
import grpc
import orjson
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import NEVER_WRITTEN, FakeFeatureServer, Gateway, feast_answer, serving
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import FeatureReferences, GetUserFeaturesRequest

_USER = "3413-BMNZE"
_FEBRUARY_S = 1709164800


async def test_features_come_in_contract_order_with_typed_values(gateway: Gateway) -> None:
    reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=5)
    features = reply.user_features.features
    assert [feature.name for feature in features] == ["months_active", "monthly_fee", "plan_stream_tv", "net_service"]
    assert [feature.WhichOneof("value") for feature in features] == [
        "int64_value",
        "double_value",
        None,
        "string_value",
    ]
    assert (features[0].int64_value, features[1].double_value, features[3].string_value) == (1, 29.85, "DSL")
    assert features[2].status == feature_pb2.FEATURE_STATUS_NULL_VALUE
    assert {feature.event_timestamp.seconds for feature in features} == {_FEBRUARY_S}
    assert reply.user_features.user_id == _USER
    assert reply.user_features.user_known
    assert reply.contract_hash.startswith("sha256:")


async def test_nothing_selected_means_the_default_feature_service(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    by_default = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=5)
    by_name = await gateway.stub.GetUserFeatures(
        GetUserFeaturesRequest(user_id=_USER, feature_service="churn_v1"), timeout=5
    )
    assert by_default == by_name
    # References, not the service's name: Feast would parse the service again for each request.
    assert feature_server.requests[0] == feature_server.requests[1]
    assert "feature_service" not in feature_server.requests[0]


async def test_references_come_in_the_order_asked(gateway: Gateway) -> None:
    references = ["usage_fv:watch_hours", "profile_fv:net_service", "profile_fv:months_active"]
    request = GetUserFeaturesRequest(user_id=_USER, feature_references=FeatureReferences(references=references))
    reply = await gateway.stub.GetUserFeatures(request, timeout=5)
    assert [feature.name for feature in reply.user_features.features] == ["watch_hours", "net_service", "months_active"]


async def test_callers_that_order_the_same_features_differently_share_a_read_and_keep_their_order(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        arrived.set()
        await gate.wait()
        return web.json_response(feast_answer(orjson.loads(await request.read())))

    feature_server.answer = held
    references = ["profile_fv:months_active", "profile_fv:net_service"]
    async with asyncio.timeout(5):
        first = asyncio.ensure_future(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=5))
        await arrived.wait()
        calls = [
            gateway.stub.GetUserFeatures(
                GetUserFeaturesRequest(user_id=_USER, feature_references=FeatureReferences(references=order)), timeout=5
            )
            for order in (references, references[::-1])
        ]
        # Both are in the queue once a call behind them, of the same connection, has been refused.
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="bad"), timeout=5)
        gate.set()
        await first
        replies = [(await call).user_features.features for call in calls]
    answers = [[(feature.name, feature.int64_value, feature.string_value) for feature in reply] for reply in replies]
    assert answers[0] == [("months_active", 1, ""), ("net_service", 0, "DSL")]
    assert answers[1] == answers[0][::-1]
    assert len(feature_server.requests) == 2


async def test_a_name_that_two_views_share_becomes_its_full_name(gateway: Gateway) -> None:
    request = GetUserFeaturesRequest(user_id=_USER, feature_service="scores_v1")
    reply = await gateway.stub.GetUserFeatures(request, timeout=5)
    by_name = {feature.name: feature for feature in reply.user_features.features}
    assert list(by_name) == ["profile_fv__score", "usage_fv__score"]
    assert by_name["profile_fv__score"].float_value == 0.5
    assert by_name["usage_fv__score"].double_value == 0.25


async def test_an_unknown_user_is_no_error(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _nobody
    reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="0000-AAAAA"), timeout=5)
    assert not reply.user_features.user_known
    for feature in reply.user_features.features:
        assert feature.status == feature_pb2.FEATURE_STATUS_NOT_FOUND
        assert feature.WhichOneof("value") is None
        assert not feature.HasField("event_timestamp")


@pytest.mark.parametrize(
    ("age_s", "status"),
    [(86_000, feature_pb2.FEATURE_STATUS_PRESENT), (87_000, feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE)],
)
async def test_a_value_past_its_views_maximum_age_is_kept_and_said_so(
    gateway: Gateway, feature_server: FakeFeatureServer, age_s: int, status: int
) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age_s))

    async def aged(request: web.Request) -> web.Response:
        return web.json_response(feast_answer(orjson.loads(await request.read()), stamp=stamp))

    feature_server.answer = aged
    references = ["usage_fv:watch_hours", "profile_fv:months_active"]
    request = GetUserFeaturesRequest(user_id=_USER, feature_references=FeatureReferences(references=references))
    reply = await gateway.stub.GetUserFeatures(request, timeout=5)
    aging, ageless = reply.user_features.features
    assert aging.status == status
    assert aging.double_value == 24.725258074861507
    assert ageless.status == feature_pb2.FEATURE_STATUS_PRESENT


async def test_http_answers_names_values_and_statuses(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/features/{_USER}") as response:
        assert response.status == 200
        body = await response.json()
    contract_hash = body.pop("contract_hash")
    assert contract_hash.startswith("sha256:")
    assert body == {
        "user_id": _USER,
        "user_known": True,
        "features": {"months_active": 1, "monthly_fee": 29.85, "plan_stream_tv": None, "net_service": "DSL"},
        "statuses": {
            "months_active": "PRESENT",
            "monthly_fee": "PRESENT",
            "plan_stream_tv": "NULL_VALUE",
            "net_service": "PRESENT",
        },
        "event_timestamps": dict.fromkeys(
            ("months_active", "monthly_fee", "plan_stream_tv", "net_service"), "2024-02-29T00:00:00Z"
        ),
    }


async def test_http_takes_a_service_or_references(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.http_url}/features/{_USER}"
        async with session.get(url, params={"feature_service": "scores_v1"}) as response:
            assert list((await response.json())["features"]) == ["profile_fv__score", "usage_fv__score"]
        references = [("feature", "usage_fv:watch_hours"), ("feature", "profile_fv:months_active")]
        async with session.get(url, params=references) as response:
            assert list((await response.json())["features"]) == ["watch_hours", "months_active"]


async def test_http_answers_an_unknown_user_with_nulls(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _nobody
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.http_url}/features/0000-AAAAA") as response,
    ):
        assert response.status == 200
        body = await response.json()
    assert set(body["features"].values()) == {None}
    assert set(body["statuses"].values()) == {"NOT_FOUND"}
    assert set(body["event_timestamps"].values()) == {None}
    assert body["user_known"] is False


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/features/", 400, "user_id is empty"),
        ("/features/nobody", 400, "'nobody' is not of the form"),
        ("/features/3413-BMNZE%0A", 400, "not of the form"),
        ("/features/3413-BMNZE?feature_service=nope", 404, "no feature service 'nope'"),
        ("/features/3413-BMNZE?feature=nope", 400, "'nope' is not a feature reference"),
        ("/features/3413-BMNZE?feature=nope_fv:x", 404, "no feature view 'nope_fv'"),
        ("/features/3413-BMNZE?feature=profile_fv:x", 404, "has no feature 'x'"),
        ("/features/3413-BMNZE?service=churn_v1", 400, "no parameter service"),
        ("/features/3413-BMNZE?feature=a:b&feature_service=c", 400, "not both"),
        ("/nothing", 404, "Not Found"),
    ],
)
async def test_http_refuses_with_a_problem(gateway: Gateway, path: str, status: int, detail: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}{path}") as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = await response.json()
    assert detail in body["detail"]
    assert body["status"] == status


async def test_http_refuses_other_methods(gateway: Gateway) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{gateway.http_url}/features/{_USER}") as response:
        assert response.status == 405
        assert "Method Not Allowed" in (await response.json())["detail"]
        assert response.headers["Allow"] == "GET,HEAD"


async def test_http_health_is_ok_without_a_feature_server(settings: Settings) -> None:
    lonely = replace(settings, feature_server_urls=("http://127.0.0.1:1",))
    async with (
        serving(lonely) as gateway,
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.http_url}/health") as response,
    ):
        assert response.status == 200
        assert await response.json() == {"status": "ok"}


async def _nobody(request: web.Request) -> web.Response:
    body = orjson.loads(await request.read())
    names = [reference.replace(":", "__") for reference in body["features"]]
    return web.json_response(feast_answer(body, values=dict.fromkeys(names), stamp=NEVER_WRITTEN))
