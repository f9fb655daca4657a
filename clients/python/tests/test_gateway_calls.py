"""Both faces of the client, in front of a real gateway: batches, descriptions, and what a call may ask for."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from both_faces import TIMEOUT_S, Asker, asking, echo_user
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, health_becomes, serving
from held_answers import HeldAnswers
from streamflow_features import (
    AsyncFeatureClient,
    DeadlineExceeded,
    ResourceExhausted,
    Unavailable,
)

_USER = "3413-BMNZE"
_DAY_S = 86_400
# The fake's rows are of February 2024, and null for plan_stream_tv.
_MONTHS, _PLAN = "profile_fv:months_active", "profile_fv:plan_stream_tv"


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


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
    held = feature_server.answer = HeldAnswers(echo_user)
    async with asyncio.timeout(TIMEOUT_S), serving(replace(settings, max_queued_calls=1)) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        # Merged calls would wait in the client.
        async with asking(face, gateway.addresses.grpc, merge_calls=False) as ask:
            under_way = asyncio.ensure_future(ask("get_user_features", _user(1)))
            await held.arrived.wait()
            two_more = [asyncio.ensure_future(ask("get_user_features", _user(number))) for number in (2, 3)]
            (refused,), (waiting,) = await asyncio.wait(two_more, return_when=asyncio.FIRST_COMPLETED)
            error = refused.exception()
            held.gate.set()
            await asyncio.gather(under_way, waiting)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "ERROR_REASON_OVERLOADED"
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s < TIMEOUT_S


async def test_a_gateway_that_is_not_ready_is_only_asked_by_a_client_that_does_not_follow_health(
    settings: Settings,
) -> None:
    lonely = replace(settings, feature_server_urls=("http://127.0.0.1:1",))
    async with serving(lonely) as gateway:
        for follow_health, reason in ((True, None), (False, "ERROR_REASON_UPSTREAM_UNAVAILABLE")):
            async with AsyncFeatureClient(
                gateway.addresses.grpc, timeout_s=TIMEOUT_S, follow_health=follow_health
            ) as client:
                with pytest.raises(Unavailable) as raised:
                    await client.get_user_features(_USER)
            assert raised.value.reason == reason
