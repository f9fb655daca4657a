"""Any number of users in one call, by both faces of the client, in front of a real gateway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web
from both_faces import TIMEOUT_S, Asker, asking, echo_user
from faces import until
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, health_becomes, serving
from held_answers import HeldAnswers
from request_data_fakes import PACE
from streamflow_features import (
    DeadlineExceeded,
    ResourceExhausted,
    Unavailable,
)

_MONTHS = ["profile_fv:months_active"]


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


@contextlib.asynccontextmanager
async def _asking_of(face: str, settings: Settings, **options: Any) -> AsyncIterator[Asker]:
    async with serving(settings) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        async with asking(face, gateway.addresses.grpc, **options) as ask:
            yield ask


def _users_of(feature_server: FakeFeatureServer) -> list[int]:
    return [len(request["entities"]["user_id"]) for request in feature_server.requests]


async def test_the_gateways_limit_is_learned_once(
    face: str, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with _asking_of(face, replace(settings, max_batch_users=3)) as ask:
        user_ids = [_user(number) for number in range(10)]
        for _ in range(2):
            batch = await ask("get_users_features", user_ids, features=_MONTHS, max_concurrency=1)
            assert [user.user_id for user in batch] == user_ids
    assert _users_of(feature_server) == [3, 3, 3, 1] * 2


async def test_each_user_has_its_own_request_data_in_whatever_request(face: str, drivers: Gateway) -> None:
    async with asking(face, drivers.addresses.grpc, follow_health=False) as ask:
        ask.client._learned.max_batch_users = 7
        minutes = [number / 2 for number in range(50)]
        batch = await ask(
            "get_users_features",
            ["7"] * 50,
            feature_service=PACE,
            request_data_by_user=({"minutes": one} for one in minutes),
        )
        assert [user["pace_out"] for user in batch] == [7000 + one for one in minutes]
        with pytest.raises(ValueError, match="1 request_data_by_user and 2 user_ids"):
            await ask("get_users_features", ["7", "8"], feature_service=PACE, request_data_by_user=[{"minutes": 1}])


async def test_a_request_that_fails_loses_no_other_requests_answers(
    face: str, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def fails_for_seven(request: web.Request) -> web.StreamResponse:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            return web.json_response("Error connecting to Redis", status=500)
        return await echo_user(request)

    feature_server.answer = fails_for_seven
    async with _asking_of(face, settings) as ask:
        ask.client._learned.max_batch_users = 5
        batch = await ask("get_users_features", map(_user, range(20)), features=_MONTHS, max_concurrency=1)
    assert list(batch.errors) == [_user(number) for number in range(5, 10)]
    assert {type(error) for error in batch.errors.values()} == {Unavailable}
    assert [user["months_active"] for user in batch.ok] == [*range(5), *range(10, 20)]


async def test_a_request_without_an_answer_ends_at_its_deadline(
    face: str, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def never_for_seven(request: web.Request) -> web.StreamResponse:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            await asyncio.Event().wait()
        return await echo_user(request)

    async with _asking_of(face, settings) as ask:
        ask.client._learned.max_batch_users = 5
        await ask("get_users_features", map(_user, range(10)), features=_MONTHS)
        feature_server.answer = never_for_seven
        batch = await ask("get_users_features", [_user(7)], features=_MONTHS, timeout_s=0.2)
    assert [type(result) for result in batch] == [DeadlineExceeded]


async def test_a_busy_gateway_is_asked_again_only_if_the_caller_says_so(
    face: str, settings: Settings, feature_server: FakeFeatureServer
) -> None:
    held = feature_server.answer = HeldAnswers(echo_user)
    async with _asking_of(face, replace(settings, max_queued_calls=0)) as ask:
        first = asyncio.ensure_future(ask("get_users_features", [_user(1)], features=_MONTHS))
        await asyncio.wait_for(held.arrived.wait(), TIMEOUT_S)
        refused = await ask("get_users_features", [_user(2)], features=_MONTHS)
        assert isinstance(refused[0], ResourceExhausted)
        assert refused[0].retry_after_s is not None
        patient = asyncio.ensure_future(ask("get_users_features", [_user(3)], features=_MONTHS, retries=10_000))
        held.gate.set()
        async with asyncio.timeout(TIMEOUT_S):
            answered = [*await first, *await patient]
    assert [user["months_active"] for user in answered] == [1, 3]


async def test_types_of_references_of_no_feature_service_are_the_callers_word(
    ask: Asker, feature_server: FakeFeatureServer
) -> None:
    async def nothing(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response(feast_answer(body, values={"usage_fv__watch_hours": None}))

    options = {"features": ["usage_fv:watch_hours"]}
    assert (await ask("get_users_features", [_user(1)], **options)).dtypes == {"watch_hours": "Float64"}
    feature_server.answer = nothing
    batch = await ask("get_users_features", [_user(1)], **options)
    assert batch.dtypes == {"watch_hours": None}
    with pytest.raises(ValueError, match="no user has a value of watch_hours"):
        batch.to_numpy()
    assert str(batch.to_numpy(dtypes={"watch_hours": "Float64"}).dtype) == "float64"


async def test_a_cancelled_call_cancels_its_requests(settings: Settings, feature_server: FakeFeatureServer) -> None:
    arrived, cancelled = 0, 0

    async def never(_request: web.Request) -> web.Response:
        nonlocal arrived, cancelled
        arrived += 1
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1
        raise AssertionError

    feature_server.answer = never
    async with _asking_of("asyncio", settings) as ask:
        call = asyncio.ensure_future(ask("get_users_features", [_user(1)], features=_MONTHS))
        await until(lambda: arrived > 0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: cancelled == arrived)
