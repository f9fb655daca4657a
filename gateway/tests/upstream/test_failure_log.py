"""A feature server's failure is logged when it begins and when it is over, not once for each read that fails."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import uuid4

import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from feature_gateway.upstream.failure_log import MAX_KINDS, QUIET_S, FailureLog
from gateway_fakes import Answer, FakeFeatureServer, serving
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow_logs import Event

_BOUND_S = 20
_URL = "http://feast-0:6566"


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> FailureLog:
    caplog.set_level(logging.INFO, "feature_gateway")
    return FailureLog(_URL, now=clock)


def test_a_failure_is_told_when_it_begins_and_when_it_is_over_with_what_was_left_out(
    log: FailureLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    log.succeeded()
    for _ in range(20):
        log.failed("gone")
        clock.now_s += 0.5
    clock.now_s += QUIET_S
    log.succeeded()
    log.succeeded()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", _failed("gone")),
        ("INFO", _over("gone", count=19, lasted_s="9.5")),
    ]


def test_another_kind_of_failure_is_told_too(log: FailureLog, caplog: pytest.LogCaptureFixture) -> None:
    for what in ("gone", "gone", "500", "gone", "500"):
        log.failed(what)
    assert caplog.messages == [_failed("gone"), _failed("500")]


def test_an_answer_among_failures_is_no_end_of_them(
    log: FailureLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        log.failed("gone")
        clock.now_s += QUIET_S / 2
        log.succeeded()
    assert len(caplog.messages) == 1


def test_what_comes_back_is_told_anew_whatever_goes_on_beside_it(
    log: FailureLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        log.failed("gone")
        for _ in range(3):
            log.failed("late")
            clock.now_s += QUIET_S / 2
            log.succeeded()
    over = _over("gone", count=0, lasted_s="0")
    assert caplog.messages == [_failed("gone"), _failed("late"), over, _failed("gone"), over]


def test_failures_that_are_all_different_do_not_fill_the_log_or_the_memory(
    log: FailureLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        log.failed(f"failure {number} {'x' * 100_000}")
    assert len(caplog.messages) == MAX_KINDS
    assert max(map(len, caplog.messages)) < 1100
    clock.now_s += QUIET_S
    log.succeeded()
    log.failed("another")
    assert caplog.messages[-1] == _failed("another")


def _failed(reason: str, url: str = _URL) -> str:
    return str(Event("feature server failed", reason=reason, feature_server=url))


def _over(reason: str, *, count: int, lasted_s: str) -> str:
    fields = {"reason": reason, "feature_server": _URL, "count": count, "lasted_s": lasted_s}
    return str(Event("feature server failed no more", **fields))


_STORE_TEXTS = ("Connection closed by server.", "Timeout reading from 127.0.0.1:6380")


def _says(text: str, then: asyncio.Event, after: int = 10) -> Answer:
    """An unsuccessful answer, and that it was given so many times."""
    given = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal given
        given += 1
        if given == after:
            then.set()
        return web.Response(status=500, text=text)

    return answer


@contextmanager
def _told(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What is logged of feature servers within a block, there when it is over."""
    caplog.set_level(logging.INFO, "feature_gateway")
    told: list[str] = []
    yield told
    told += [message for message in caplog.messages if message.startswith("feature server")]


async def test_canary_reads_and_calls_that_fail_alike_are_one_line_for_each_text(
    settings: Settings, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = feature_server.url
    with _told(caplog) as told:
        async with (
            asyncio.timeout(_BOUND_S),
            serving(replace(settings, readiness_interval_s=0.01)) as gateway,
        ):
            for text in _STORE_TEXTS:
                enough = asyncio.Event()
                feature_server.canary_answer = feature_server.answer = _says(text, enough)
                with pytest.raises(grpc.aio.AioRpcError):
                    await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="3413-BMNZE"), timeout=_BOUND_S)
                await enough.wait()
    assert told == [
        _failed(
            f"The feature server could not read its online store (UnsuccessfulAnswerError: answered 500: {text})", url
        )
        for text in _STORE_TEXTS
    ]


async def test_a_server_that_is_gone_is_one_line_that_says_it_is_ejected(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    url = "http://127.0.0.1:1"
    with _told(caplog) as told:
        async with (
            asyncio.timeout(_BOUND_S),
            serving(replace(settings, feature_server_urls=(url,))) as gateway,
        ):
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError):
                    await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="3413-BMNZE"), timeout=_BOUND_S)
    (line,) = told
    assert line.startswith(
        "feature server failed: reason=\"The feature server can't be reached (ConnectionFailedError: "
    )
    assert line.endswith(f'; ejected" feature_server={url}')


async def test_a_frozen_server_that_says_it_lives_is_one_line(
    settings: Settings, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    late = 0
    enough = asyncio.Event()

    async def frozen(_request: web.Request) -> web.Response:
        nonlocal late
        late += 1
        # Ejected, probed back in and ejected again in between.
        if late == 12:
            enough.set()
        await asyncio.Event().wait()
        return web.Response()

    feature_server.canary_answer = frozen
    with _told(caplog) as told:
        async with (
            asyncio.timeout(_BOUND_S),
            serving(replace(settings, readiness_interval_s=0.01, readiness_timeout_s=0.03)),
        ):
            await enough.wait()
    assert told == [_failed("The deadline passed before the feature server had answered; ejected", feature_server.url)]


async def test_what_callers_get_wrong_keeps_no_outage_out_of_the_log(
    settings: Settings, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuses(_request: web.Request) -> web.Response:
        return web.Response(status=403, text=f"{uuid4()}")

    with _told(caplog) as told:
        async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
            request = GetUserFeaturesRequest(user_id="3413-BMNZE")
            feature_server.answer = refuses
            for _ in range(2 * MAX_KINDS):
                with pytest.raises(grpc.aio.AioRpcError):
                    await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)
            feature_server.answer = _says(_STORE_TEXTS[0], asyncio.Event())
            with pytest.raises(grpc.aio.AioRpcError):
                await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)
    assert len(told) == 2
    assert _STORE_TEXTS[0] in told[-1]
