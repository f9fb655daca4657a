"""Whatever the feature server does, a call ends in time with its true code."""

import asyncio
import time
from dataclasses import replace

import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import Answer, FakeFeatureServer, Gateway, error_details, serving
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_NO_SUCH_VIEW = (
    r'"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\",'
    r' \"message\": \"Feature view profile_fv does not exist\"}"'
)


def _says(status: int, body: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode(), content_type="application/json")

    return answer


async def _hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        pytest.param(
            _says(500, '"Timeout reading from 127.0.0.1:6380"'),
            "UNAVAILABLE",
            "UPSTREAM_UNAVAILABLE",
            id="Redis frozen",
        ),
        pytest.param(
            _says(500, '"Error 111 connecting to 127.0.0.1:6380. Connection refused."'),
            "UNAVAILABLE",
            "UPSTREAM_UNAVAILABLE",
            id="Redis down",
        ),
        pytest.param(_says(503, "busy"), "UNAVAILABLE", "UPSTREAM_UNAVAILABLE", id="a proxy in between is busy"),
        pytest.param(_hangs_up, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE", id="connection cut"),
        pytest.param(_says(404, _NO_SUCH_VIEW), "INTERNAL", "UPSTREAM_MISMATCH", id="view not applied there"),
        pytest.param(
            _says(500, "\"'Feature x not found in projection profile_fv'\""),
            "INTERNAL",
            "UPSTREAM_MISMATCH",
            id="feature not applied there",
        ),
        pytest.param(_says(422, '{"detail": []}'), "INTERNAL", "UPSTREAM_MISMATCH", id="another schema"),
        pytest.param(_says(200, "<html>"), "INTERNAL", "UPSTREAM_MISMATCH", id="no JSON"),
        pytest.param(_says(200, "{}"), "INTERNAL", "UPSTREAM_MISMATCH", id="JSON of another form"),
        pytest.param(_says(200, "null"), "INTERNAL", "UPSTREAM_MISMATCH", id="JSON null"),
        pytest.param(
            _says(200, '{"metadata": {"feature_names": []}, "results": []}'),
            "INTERNAL",
            "UPSTREAM_MISMATCH",
            id="features missing",
        ),
    ],
)
async def test_a_failing_feature_server_gives_its_true_code(
    gateway: Gateway, feature_server: FakeFeatureServer, answer: Answer, code: str, reason: str
) -> None:
    feature_server.answer = answer
    error = await _failure(gateway, timeout_s=5)
    assert error.code().name == code
    assert _reason(error) == f"ERROR_REASON_{reason}"


async def test_a_feature_server_that_is_gone_is_unavailable(settings: Settings) -> None:
    async with serving(replace(settings, feature_server_urls=("http://127.0.0.1:1",))) as gateway:
        error = await _failure(gateway, timeout_s=5)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert _reason(error) == "ERROR_REASON_UPSTREAM_UNAVAILABLE"


async def test_a_call_without_a_deadline_gets_the_default(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _hang
    async with serving(replace(settings, default_timeout_s=0.1)) as gateway:
        started = time.monotonic()
        error = await _failure(gateway, timeout_s=None)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert _reason(error) == "ERROR_REASON_DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 5


async def test_a_frozen_feature_server_does_not_hold_a_call_past_its_deadline(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _hang
    # A margin far above scheduling noise, so that the gateway's answer is what the caller sees, not its own timer.
    async with serving(replace(settings, deadline_margin_s=1.0)) as gateway:
        error = await _failure(gateway, timeout_s=1.2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert _reason(error) == "ERROR_REASON_DEADLINE_EXCEEDED"


async def test_a_deadline_too_near_is_not_sent_on(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async with serving(replace(settings, deadline_margin_s=10.0)) as gateway:
        error = await _failure(gateway, timeout_s=5)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert feature_server.requests == []


async def test_a_caller_that_gives_up_ends_the_upstream_read(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    arrived, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return web.Response()

    feature_server.answer = wait
    call = gateway.stub.GetUserFeatures(_REQUEST, timeout=30)
    async with asyncio.timeout(10):
        # The call starts with its first await.
        waiting = asyncio.ensure_future(call)
        await arrived.wait()
        call.cancel()
        await cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_unforeseen_exception_tells_the_caller_nothing_of_itself(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("feature_gateway.upstream.rows_route.body_for", lambda *_: 1 / 0)
    error = await _failure(gateway, timeout_s=5)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "The gateway failed on this call; its log has the cause."
    assert _reason(error) == "ERROR_REASON_INTERNAL"
    assert "ZeroDivisionError" in caplog.text


async def test_service_is_back_as_soon_as_the_feature_server_is(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _says(500, '"Timeout reading from 127.0.0.1:6380"')
    await _failure(gateway, timeout_s=5)
    feature_server.answer = None
    reply = await gateway.stub.GetUserFeatures(_REQUEST, timeout=5)
    assert reply.user_features.user_known


async def _hang(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def _failure(gateway: Gateway, *, timeout_s: float | None) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=timeout_s)
    return raised.value


def _reason(error: grpc.aio.AioRpcError) -> str:
    info, _ = error_details(error)
    return str(info.reason)
