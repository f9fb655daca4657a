"""A call that fails is one line of the log, and calls that fail alike are counted."""

import asyncio
import json
import logging
import subprocess
from collections import Counter
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.failed_calls import FailedCalls
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from gateway_process import command, environment
from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)
from streamflow_logs import Event
from streamflow_logs.trace import current_trace_id, trace_id

_BOUND_S = 60
_USER = "3413-BMNZE"
_UNAVAILABLE = ErrorReason.ERROR_REASON_UPSTREAM_UNAVAILABLE


def _told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [
        {"level": record.levelname, **record.msg.fields}
        for record in caplog.records
        if isinstance(record.msg, Event) and record.msg.name == "call failed"
    ]


async def _fail(call: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def _unavailable(_request: web.Request) -> web.Response:
    return web.Response(status=500, text="Connection closed by server.")


async def _bad_calls(gateway: Gateway) -> None:
    """One call of each form for a user id that can't be, and for a feature service that is not there."""
    stub = gateway.stub
    await _fail(stub.GetUserFeatures(GetUserFeaturesRequest(user_id=f"{_USER}\n"), timeout=_BOUND_S))
    request = BatchGetUserFeaturesRequest(user_ids=[_USER], feature_service="none_v1")
    await _fail(stub.BatchGetUserFeatures(request, timeout=_BOUND_S))
    question = StreamUserFeaturesRequest(request=GetUserFeaturesRequest(user_id=_USER, feature_service="none_v1"))
    stream = stub.StreamUserFeatures(iter([question]), timeout=_BOUND_S)
    assert [reply.WhichOneof("result") async for reply in stream] == ["error"]
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/features/{_USER}%0A") as reply:
        assert reply.status == 400


async def test_a_call_that_fails_is_a_line_with_method_reason_and_feature_server_and_without_its_user(
    settings: Settings, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        await _bad_calls(gateway)
        feature_server.answer = _unavailable
        await _fail(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S))
    told = {(line["level"], line["method"], line["reason"], line.get("feature_server")) for line in _told(caplog)}
    assert told == {
        ("INFO", "GetUserFeatures", "USER_ID_MALFORMED", None),
        ("INFO", "BatchGetUserFeatures", "FEATURE_SERVICE_UNKNOWN", None),
        ("INFO", "StreamUserFeatures", "FEATURE_SERVICE_UNKNOWN", None),
        ("INFO", "http:/features", "USER_ID_MALFORMED", None),
        ("WARNING", "GetUserFeatures", "UPSTREAM_UNAVAILABLE", feature_server.url),
    }
    assert _USER not in caplog.text


async def test_calls_that_fail_alike_are_counted_and_none_is_lost(
    settings: Settings, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    feature_server.answer = _unavailable
    calls, began_s = 200, asyncio.get_running_loop().time()
    async with asyncio.timeout(_BOUND_S), serving(settings) as gateway:
        for _ in range(calls):
            await _fail(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S))
    intervals = (asyncio.get_running_loop().time() - began_s) / 10
    counts = [line["count"] for line in _told(caplog) if line["reason"] == "UPSTREAM_UNAVAILABLE"]
    assert (counts[0], sum(counts)) == (1, calls)
    assert len(counts) <= 3 + 2 * intervals


async def test_while_calls_fail_each_interval_has_one_line_and_the_next_failure_after_a_quiet_one_is_told_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    failed_calls = FailedCalls(interval_s=0.01)

    def fail(count: int) -> None:
        for _ in range(count):
            failed_calls.failed("GetUserFeatures", StatusCode.UNAVAILABLE, _UNAVAILABLE, None)

    async with asyncio.timeout(_BOUND_S):
        fail(3)
        while len(_told(caplog)) < 2:  # noqa: ASYNC110  # a timer of the loop ends it
            await asyncio.sleep(0)
        # A quiet interval: what follows it is a new failure.
        while failed_calls.counted_kinds:  # noqa: ASYNC110  # the same
            await asyncio.sleep(0)
        fail(2)
        failed_calls.close()
    assert [line["count"] for line in _told(caplog)] == [1, 2, 1, 1]


async def test_the_first_line_names_the_calls_trace_and_a_line_of_many_calls_names_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    traces: list[str] = []

    def note(_record: logging.LogRecord) -> bool:
        traces.append(trace_id())
        return True

    caplog.handler.addFilter(note)
    failed_calls = FailedCalls(interval_s=0.01)
    token = current_trace_id.set("4bf92f3577b34da6a3ce929d0e0e4736")
    for _ in range(2):
        failed_calls.failed("GetUserFeatures", StatusCode.UNAVAILABLE, _UNAVAILABLE, None)
    current_trace_id.reset(token)
    async with asyncio.timeout(_BOUND_S):
        while len(traces) < 2:  # noqa: ASYNC110  # a timer of the loop ends it
            await asyncio.sleep(0)
    failed_calls.close()
    caplog.handler.removeFilter(note)
    assert traces == ["4bf92f3577b34da6a3ce929d0e0e4736", ""]


async def test_kinds_are_counted_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    failed_calls = FailedCalls()
    for server in ("http://a:6566", "http://b:6566", "http://a:6566"):
        failed_calls.failed("GetUserFeatures", StatusCode.UNAVAILABLE, _UNAVAILABLE, server)
    failed_calls.failed("GetUserFeatures", StatusCode.CANCELLED, None, None)
    failed_calls.failed("GetUserFeatures", StatusCode.INTERNAL, ErrorReason.ERROR_REASON_INTERNAL, None)
    failed_calls.close()
    told = Counter((line["level"], line["reason"], line.get("feature_server")) for line in _told(caplog))
    assert told == {
        ("WARNING", "UPSTREAM_UNAVAILABLE", "http://a:6566"): 2,
        ("WARNING", "UPSTREAM_UNAVAILABLE", "http://b:6566"): 1,
        ("INFO", "CANCELLED", None): 1,
        ("ERROR", "INTERNAL", None): 1,
    }


@pytest.mark.parametrize("variables", [{"GATEWAY_HEDGE": "maybe"}, {"GATEWAY_CONTRACT_PATH": "/none.json"}])
def test_a_start_that_fails_is_one_line_of_json(settings: Settings, variables: dict[str, str]) -> None:
    ended = subprocess.run(
        [command()],
        env={**environment(replace(settings)), **variables, "STREAMFLOW_LOG_FORMAT": "json"},
        check=False,
        capture_output=True,
        text=True,
        timeout=_BOUND_S,
    )
    said = json.loads(ended.stderr)
    assert (ended.returncode, said["level"], said["event"]) == (1, "critical", "failed")
    assert next(iter(variables.values())) in said["reason"]
