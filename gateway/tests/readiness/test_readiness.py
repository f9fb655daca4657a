"""Health follows a canary read through to the online store, and one late read changes nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.errors import UpstreamUnavailableError
from feature_gateway.readiness.readiness import Readiness, follow
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    Gateway,
    feast_answer,
    health_becomes,
    health_of,
    running_feature_server,
    serving,
)
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_BOUND_S = 20
_SERVICE = "streamflow.features.v1.UserFeatureService"
_GONE = UpstreamUnavailableError("The feature server can't be reached.")


def _ready() -> Readiness:
    readiness = Readiness()
    readiness.succeeded()
    return readiness


def test_a_gateway_is_not_ready_until_the_first_success() -> None:
    readiness = Readiness()
    assert not readiness.ready
    assert readiness.reason == "The gateway is starting: no canary read has succeeded yet."
    readiness.failed("gone")
    assert readiness.reason == "The canary read failed: gone"
    readiness.succeeded()
    assert readiness.ready
    assert readiness.reason is None


def test_three_failures_in_a_row_make_it_not_ready_and_one_success_ready() -> None:
    readiness = _ready()
    states = []
    for _ in range(4):
        readiness.failed("gone")
        states.append(readiness.ready)
    assert states == [True, True, False, False]
    readiness.succeeded()
    assert readiness.ready


def test_failures_that_are_not_in_a_row_change_nothing() -> None:
    readiness = _ready()
    for _ in range(5):
        readiness.failed("late")
        readiness.failed("late")
        readiness.succeeded()
        assert readiness.ready


def test_the_reason_is_the_last_failure() -> None:
    readiness = _ready()
    for why in ("late", "late", "late", "gone"):
        readiness.failed(why)
    assert readiness.reason == "The canary read failed: gone"


def test_a_gateway_that_drains_is_not_ready_for_good() -> None:
    readiness = _ready()
    readiness.drain()
    readiness.succeeded()
    assert not readiness.ready
    readiness.failed("gone")
    assert readiness.reason == "The gateway is ending."


def test_listeners_hear_of_changes_and_of_nothing_else() -> None:
    readiness = Readiness()
    heard: list[bool] = []
    readiness.on_change(lambda: heard.append(readiness.ready))
    for _ in range(3):
        readiness.succeeded()
    for _ in range(5):
        readiness.failed("gone")
    readiness.drain()
    readiness.drain()
    assert heard == [True, False]


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    readiness = Readiness()
    for _ in range(2):
        readiness.failed("gone")
    for _ in range(2):
        readiness.succeeded()
    for _ in range(5):
        readiness.failed("gone")
    readiness.succeeded()
    readiness.drain()
    assert [record.getMessage() for record in caplog.records] == [
        'not ready: reason="The canary read failed: gone"',
        "ready",
        'not ready: reason="The canary read failed: gone"',
        "ready",
    ]


@dataclass
class Clock:
    """Time that passes only by being slept."""

    ends_at_s: float
    now_s: float = 0.0
    starts_s: list[float] = field(default_factory=list)

    async def sleep(self, pause_s: float) -> None:
        self.now_s += pause_s
        if self.now_s >= self.ends_at_s:
            raise asyncio.CancelledError

    def canary(self, *takes_s: float, failure: Exception | None = None) -> Callable[[], Awaitable[None]]:
        remaining = list(takes_s)

        async def read() -> None:
            self.starts_s.append(self.now_s)
            self.now_s += remaining.pop(0) if remaining else 0.0
            if failure is not None:
                raise failure

        return read

    async def follow(self, readiness: Readiness, canary: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(asyncio.CancelledError):
            await follow(readiness, canary, interval_s=0.5, now=lambda: self.now_s, sleep=self.sleep)


async def test_the_interval_is_from_start_to_start_and_a_slow_read_is_followed_at_once() -> None:
    clock = Clock(ends_at_s=2.0)
    await clock.follow(Readiness(), clock.canary(0.125, 0.75))
    assert clock.starts_s == [0.0, 0.5, 1.25, 1.75]


def test_with_rows_remembered_it_stays_ready_for_as_long_as_they_are_answered() -> None:
    clock = [100.0]
    readiness = Readiness(outlasts_s=30.0, now_s=lambda: clock[0])
    readiness.failed("down")
    assert not readiness.ready
    readiness.succeeded()
    for clock[0] in (110.0, 120.0, 129.0, 129.9):
        readiness.failed("down")
        assert readiness.ready
    clock[0] = 130.0
    readiness.failed("down")
    assert readiness.reason == "The canary read failed: down"
    readiness.succeeded()
    readiness.drain()
    assert not readiness.ready


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (_GONE, "The canary read failed: The feature server can't be reached."),
        (
            ZeroDivisionError("secret"),
            "The canary read failed: The gateway failed on this call; its log has the cause.",
        ),
    ],
)
async def test_whatever_a_canary_read_fails_with_is_a_failure(failure: Exception, reason: str) -> None:
    clock, readiness = Clock(ends_at_s=5.0), _ready()
    await clock.follow(readiness, clock.canary(failure=failure))
    assert readiness.reason == reason


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, readiness_interval_s=0.02)


async def _ready_answer(gateway: Gateway, path: str = "/ready") -> tuple[int, str, Any]:
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path) as response:
        return response.status, response.content_type, await response.json(content_type=None)


@pytest.mark.parametrize("service", ["", _SERVICE])
async def test_a_gateway_listens_before_the_feature_server_does_and_is_ready_once_it_answers(
    settings: Settings, feature_server: FakeFeatureServer, service: str
) -> None:
    feature_server.canary_answer = _store_is_down
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        assert await health_of(gateway.channel, service) == "NOT_SERVING"
        status, content_type, body = await _ready_answer(gateway)
        assert (status, content_type, body["status"]) == (503, "application/problem+json", 503)
        feature_server.canary_answer = None
        await health_becomes(gateway.channel, "SERVING", service)
        assert await health_of(gateway.channel, service) == "SERVING"
        assert await _ready_answer(gateway) == (200, "application/json", {"status": "ready"})


async def test_a_gateway_without_a_feature_server_lives_and_says_why_it_is_not_ready(settings: Settings) -> None:
    async with (
        asyncio.timeout(_BOUND_S),
        serving(replace(settings, feature_server_urls=("http://127.0.0.1:1",))) as gateway,
    ):
        while "starting" in (await _ready_answer(gateway))[2]["detail"]:
            pass
        assert (await _ready_answer(gateway))[2]["detail"] == (
            "The canary read failed: The feature server can't be reached."
        )
        assert await _ready_answer(gateway, "/health") == (200, "application/json", {"status": "ok"})


async def test_a_gateway_is_ready_once_every_feature_server_answers_by_the_contract(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with asyncio.timeout(_BOUND_S), running_feature_server() as second:
        second.canary_answer = _knows_old_definitions
        urls = (feature_server.url, second.url)
        async with serving(replace(settings, feature_server_urls=urls, readiness_interval_s=0.01)) as gateway:
            while "starting" in (body := await _ready_answer(gateway))[2]["detail"]:
                pass
            assert body[0] == 503
            second.canary_answer = None
            await health_becomes(gateway.channel, "SERVING")


@pytest.mark.parametrize("trial_s", [0.0, 600.0])
async def test_a_feature_server_that_is_gone_holds_no_start_up(
    settings: Settings, feature_server: FakeFeatureServer, trial_s: float
) -> None:
    urls = ("http://127.0.0.1:1", feature_server.url)
    settings = replace(settings, feature_server_urls=urls, readiness_interval_s=0.01, start_trial_s=trial_s)
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        await health_becomes(gateway.channel, "SERVING")


async def test_after_the_trials_time_one_feature_server_that_answers_by_the_contract_is_enough(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with asyncio.timeout(_BOUND_S), running_feature_server() as second:
        second.canary_answer = _knows_old_definitions
        urls = (feature_server.url, second.url)
        settings = replace(settings, feature_server_urls=urls, readiness_interval_s=0.01, start_trial_s=0.0)
        async with serving(settings) as gateway:
            await health_becomes(gateway.channel, "SERVING")


async def test_health_falls_with_the_online_store_and_rises_with_it_while_the_process_lives(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        feature_server.canary_answer = _store_is_down
        await health_becomes(gateway.channel, "NOT_SERVING")
        assert (await _ready_answer(gateway))[0] == 503
        assert (await _ready_answer(gateway, "/health"))[0] == 200
        feature_server.canary_answer = None
        await health_becomes(gateway.channel, "SERVING")


async def test_a_store_that_answers_nothing_in_time_takes_the_gateway_out(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async with asyncio.timeout(_BOUND_S), serving(replace(settings, readiness_timeout_s=0.05)) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        feature_server.canary_answer = _hangs
        await health_becomes(gateway.channel, "NOT_SERVING")
        feature_server.canary_answer = None
        await health_becomes(gateway.channel, "SERVING")


async def test_a_canary_user_of_whom_nothing_is_known_is_an_answer(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def unknown(request: web.Request) -> web.Response:
        answer = feast_answer(await request.json(), stamp="1970-01-01T00:00:00Z")
        for column in answer["results"][:-1]:
            column["values"] = [None]
        return web.json_response(answer)

    feature_server.canary_answer = unknown
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        await health_becomes(gateway.channel, "SERVING")


async def test_the_canary_read_has_the_credentials_that_it_is_given(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def guarded(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401)
        return web.json_response(feast_answer(await request.json()))

    feature_server.canary_answer = guarded
    async with asyncio.timeout(_BOUND_S):
        async with serving(settings) as gateway:
            while "starting" in (await _ready_answer(gateway))[2]["detail"]:
                pass
            assert await health_of(gateway.channel) == "NOT_SERVING"
        async with serving(replace(settings, canary_authorization="Bearer secret")) as gateway:
            await health_becomes(gateway.channel, "SERVING")


async def test_a_full_queue_does_not_make_the_gateway_not_ready(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    reads = 0
    enough, arrived = asyncio.Event(), asyncio.Event()

    async def held(_request: web.Request) -> web.Response:
        arrived.set()
        return await _hangs(_request)

    async def counted(request: web.Request) -> web.Response:
        nonlocal reads
        reads += 1
        if reads == 10:
            enough.set()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = held
    async with asyncio.timeout(_BOUND_S), serving(replace(settings, max_queued_calls=1)) as gateway:
        await health_becomes(gateway.channel, "SERVING")
        request = GetUserFeaturesRequest(user_id="3413-BMNZE")
        calls = [gateway.stub.GetUserFeatures(request, timeout=_BOUND_S) for _ in range(3)]
        waiting = [asyncio.ensure_future(call) for call in calls]
        await arrived.wait()
        feature_server.canary_answer = counted
        await enough.wait()
        assert await health_of(gateway.channel) == "SERVING"
        for call in calls:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_health_of_a_service_that_is_not_here_is_unknown(gateway: Gateway) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health_of(gateway.channel, "another.Service")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    async with asyncio.timeout(_BOUND_S):
        await health_becomes(gateway.channel, "SERVICE_UNKNOWN", "another.Service")


async def _knows_old_definitions(_request: web.Request) -> web.Response:
    return web.Response(status=500, text="\"'Feature x not found in projection profile_fv'\"")


async def _store_is_down(_request: web.Request) -> web.Response:
    return web.Response(status=500, body=b'"Error 111 connecting to 127.0.0.1:6380. Connection refused."')


async def _hangs(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()
