"""Both faces of the client, in front of a real gateway: batches, descriptions, and what a call may ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, health_becomes, serving
from streamflow_features import (
    AsyncFeatureClient,
    DeadlineExceeded,
    FailedPrecondition,
    FeatureClient,
    FeatureDescription,
    FeatureServingError,
    FeatureStatus,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    StalenessPolicy,
    Unavailable,
    UserFeatures,
)

_USER = "3413-BMNZE"
_TIMEOUT_S = 20
_DAY_S = 86_400
# The fake's rows are of February 2024, and null for plan_stream_tv.
_MONTHS, _PLAN = "profile_fv:months_active", "profile_fv:plan_stream_tv"


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


class Asker:
    """One face of the client; each of its methods is awaited."""

    def __init__(self, client: FeatureClient | AsyncFeatureClient) -> None:
        self._client = client

    async def __call__(self, method: str, *positional: Any, **keywords: Any) -> Any:
        if isinstance(self._client, FeatureClient):
            return await asyncio.to_thread(getattr(self._client, method), *positional, **keywords)
        return await getattr(self._client, method)(*positional, **keywords)

    async def failure(self, method: str, *positional: Any, **keywords: Any) -> FeatureServingError:
        with pytest.raises(FeatureServingError) as raised:
            await self(method, *positional, **keywords)
        return raised.value


@asynccontextmanager
async def _asker(face: str, target: str) -> AsyncIterator[Asker]:
    if face == "sync":
        with FeatureClient(target, timeout_s=_TIMEOUT_S) as client:
            yield Asker(client)
    else:
        async with AsyncFeatureClient(target, timeout_s=_TIMEOUT_S) as async_client:
            yield Asker(async_client)


@pytest.fixture(params=["sync", "asyncio"])
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def ask(face: str, gateway: Gateway) -> AsyncIterator[Asker]:
    async with _asker(face, gateway.addresses.grpc) as asker:
        yield asker


async def _echo_user(request: web.Request) -> web.Response:
    """Answers with each user's number as its months_active."""
    body = orjson.loads(await request.read())
    answer = feast_answer(body)
    column = answer["metadata"]["feature_names"].index("profile_fv__months_active")
    answer["results"][column]["values"] = [int(user_id[:4]) for user_id in body["entities"]["user_id"]]
    return web.json_response(answer)


async def test_values_come_in_contract_order(ask: Asker) -> None:
    features = await ask("get_user_features", _USER)
    assert list(features) == ["months_active", "monthly_fee", "plan_stream_tv", "net_service"]
    assert list(features.values()) == [1, 29.85, None, "DSL"]
    assert features.user_id == _USER
    assert (features.serving_info, features.stale_age_s) == (None, None)


async def test_a_batch_has_one_result_a_user_in_the_order_asked(ask: Asker, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _echo_user
    user_ids = [_user(number) for number in (5, 3, 5, *range(100, 200))]
    batch = await ask("batch_get_user_features", iter(user_ids), features=[_MONTHS])
    assert [result.user_id for result in batch] == user_ids
    assert [result["months_active"] for result in batch] == [int(user_id[:4]) for user_id in user_ids]
    assert {result.contract_hash for result in batch} == {batch.contract_hash}
    assert (len(batch), len(batch[:2]), batch[-1]["months_active"]) == (len(user_ids), 2, 199)
    assert batch.serving_info is None


async def test_one_users_failure_is_that_users_result(ask: Asker) -> None:
    known, malformed, empty = await ask("batch_get_user_features", [_USER, "nobody", ""])
    assert isinstance(known, UserFeatures)
    assert isinstance(malformed, InvalidArgument)
    assert "'nobody' is not of the form" in str(malformed)
    assert malformed.reason == "ERROR_REASON_USER_ID_MALFORMED"
    assert malformed.metadata == {"pattern": "^[0-9]{4}-[A-Z]{5}$"}
    assert malformed.retry_after_s is None
    assert empty.reason == "ERROR_REASON_USER_ID_EMPTY"


async def test_under_the_policy_fail_old_features_are_the_error_of_their_user(ask: Asker) -> None:
    (result,) = await ask(
        "batch_get_user_features", [_USER], max_age_s=_DAY_S, staleness_policy=StalenessPolicy.FAIL, features=[_MONTHS]
    )
    assert isinstance(result, FailedPrecondition)
    assert float(result.metadata["months_active"]) > _DAY_S


async def test_what_is_no_users_fault_fails_the_whole_batch(ask: Asker) -> None:
    assert isinstance(await ask.failure("batch_get_user_features", [_USER], feature_service="nope"), NotFound)
    none = await ask.failure("batch_get_user_features", [])
    assert (type(none), none.reason) == (InvalidArgument, "ERROR_REASON_USER_IDS_EMPTY")


@pytest.mark.parametrize(
    ("options", "value", "status"),
    [
        ({"max_age_s": _DAY_S}, 1, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 0.5, "staleness_policy": StalenessPolicy.FLAG}, 1, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 0, "staleness_policy": StalenessPolicy.OMIT}, None, FeatureStatus.OUTSIDE_MAX_AGE),
        ({"max_age_s": 36_600 * _DAY_S, "staleness_policy": StalenessPolicy.FAIL}, 1, FeatureStatus.PRESENT),
    ],
)
async def test_a_maximum_age_of_the_calls_own_and_its_policies(
    ask: Asker, options: dict[str, Any], value: int | None, status: FeatureStatus
) -> None:
    features = await ask("get_user_features", _USER, features=[_MONTHS, _PLAN], **options)
    assert features["months_active"] == value
    assert features.statuses["months_active"] is status
    assert features.statuses["plan_stream_tv"] is FeatureStatus.NULL_VALUE


async def test_features_too_old_for_the_policy_are_named_with_their_ages(ask: Asker) -> None:
    error = await ask.failure("get_user_features", _USER, max_age_s=_DAY_S, staleness_policy=StalenessPolicy.FAIL)
    assert (type(error), error.reason) == (FailedPrecondition, "ERROR_REASON_FEATURES_TOO_OLD")
    assert float(error.metadata["monthly_fee"]) > _DAY_S


async def test_a_negative_maximum_age_is_the_gateways_to_refuse(ask: Asker) -> None:
    error = await ask.failure("get_user_features", _USER, max_age_s=-0.5)
    assert (type(error), error.reason) == (InvalidArgument, "ERROR_REASON_MAX_AGE_INVALID")


async def test_another_contract_is_a_failed_precondition(ask: Asker) -> None:
    error = await ask.failure("get_user_features", _USER, contract_hash="sha256:00")
    assert (type(error), error.reason) == (FailedPrecondition, "ERROR_REASON_CONTRACT_MISMATCH")
    current = error.metadata["contract_hash"]
    assert (await ask("get_user_features", _USER, contract_hash=current)).contract_hash == current
    assert (await ask("batch_get_user_features", [_USER], contract_hash=current)).contract_hash == current


async def test_serving_info_is_in_the_result_of_those_who_ask(ask: Asker) -> None:
    info = (await ask("get_user_features", _USER, include_serving_info=True)).serving_info
    assert 0 < info.upstream_time_s <= info.gateway_time_s < _TIMEOUT_S
    assert info.queue_time_s >= 0
    assert (info.batch_size, info.retried, info.hedged) == (1, False, False)
    batch = await ask("batch_get_user_features", [_USER, _user(1)], include_serving_info=True)
    assert batch.serving_info.batch_size == 2


async def test_feature_services_are_described_in_the_order_of_results(ask: Asker) -> None:
    scores = await ask("get_feature_service", "scores_v1")
    assert scores.name == "scores_v1"
    assert scores.join_key == "user_id"
    assert scores.features == (
        FeatureDescription("profile_fv__score", "profile_fv:score", "Float32", None),
        FeatureDescription("usage_fv__score", "usage_fv:score", "Float64", 86400.0),
    )
    services = await ask("list_feature_services")
    assert [service.name for service in services] == ["churn_v1", "scores_v1"]
    assert services[1] == scores
    features = await ask("get_user_features", _USER, feature_service="scores_v1", contract_hash=scores.contract_hash)
    assert list(features) == [feature.name for feature in scores.features]
    assert isinstance(await ask.failure("get_feature_service", "nope"), NotFound)


async def test_a_call_that_takes_too_long_is_deadline_exceeded(ask: Asker, feature_server: FakeFeatureServer) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    feature_server.answer = never
    for method, whom in (("get_user_features", _USER), ("batch_get_user_features", [_USER])):
        assert isinstance(await ask.failure(method, whom, timeout_s=0.1), DeadlineExceeded)


async def test_overload_says_when_to_try_again(
    face: str, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        arrived.set()
        await gate.wait()
        return await _echo_user(request)

    feature_server.answer = held
    async with asyncio.timeout(_TIMEOUT_S), serving(replace(settings, max_queued_calls=1)) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        async with _asker(face, gateway.addresses.grpc) as ask:
            under_way = asyncio.ensure_future(ask("get_user_features", _user(1)))
            await arrived.wait()
            two_more = [asyncio.ensure_future(ask("get_user_features", _user(number))) for number in (2, 3)]
            (refused,), (waiting,) = await asyncio.wait(two_more, return_when=asyncio.FIRST_COMPLETED)
            error = refused.exception()
            gate.set()
            await asyncio.gather(under_way, waiting)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "ERROR_REASON_OVERLOADED"
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s < _TIMEOUT_S


@pytest.mark.parametrize(
    ("method", "whom", "keywords", "message"),
    [
        ("get_user_features", _USER, {"features": _MONTHS}, "features is one text"),
        ("batch_get_user_features", _USER, {}, "user_ids is one text"),
        ("get_user_features", _USER, {"max_age_s": float("nan")}, "max_age_s is nan"),
        ("get_user_features", _USER, {"staleness_policy": 9}, "9 is not a valid StalenessPolicy"),
        ("batch_get_user_features", [], {"feature_service": "a", "features": ["b:c"]}, "not both"),
    ],
)
async def test_what_can_not_be_asked_is_refused_before_any_call(
    ask: Asker, method: str, whom: Any, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        await ask(method, whom, **keywords)


async def test_a_gateway_that_is_not_ready_is_only_asked_by_a_client_that_does_not_follow_health(
    settings: Settings,
) -> None:
    lonely = replace(settings, feature_server_urls=("http://127.0.0.1:1",))
    async with serving(lonely) as gateway:
        for follow_health, reason in ((True, None), (False, "ERROR_REASON_UPSTREAM_UNAVAILABLE")):
            async with AsyncFeatureClient(
                gateway.addresses.grpc, timeout_s=_TIMEOUT_S, follow_health=follow_health
            ) as client:
                with pytest.raises(Unavailable) as raised:
                    await client.get_user_features(_USER)
            assert raised.value.reason == reason
