"""What the span of a call says, over gRPC and HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from feature_gateway.tracing.tracer import Tracing
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, serving
from held_answers import HeldAnswers
from metric_samples import BOUND_S, USER, ask
from otlp_receiver import Received, Receiver
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)
from streamflow_logs import Format, LogSettings, configure
from traced_gateway import GET, NOT_SAMPLED, PARENT, SAMPLED, SERVICE, TRACE, answered, get, until_it_waits


def _took_s(span: Received) -> float:
    return (span.end_ns - span.start_ns) / 1e9


async def test_a_calls_span_is_its_callers_child_and_says_what_was_asked_and_how_long_each_part_took(
    gateway: Gateway, receiver: Receiver
) -> None:
    await get(gateway, SAMPLED)
    call = receiver.one(GET)
    assert (call.service, call.kind, call.trace_id, call.parent_id) == ("feature-gateway", "server", TRACE, PARENT)
    parts_s = [call.attributes.pop(f"gateway.{part}_s") for part in ("wait", "read", "write")]
    assert min(parts_s) >= 0
    assert sum(parts_s) == pytest.approx(_took_s(call), abs=1e-6)
    assert call.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": GET,
        "rpc.response.status_code": "OK",
        "gateway.feature_service": "churn_v1",
        "gateway.rows": 1,
    }


async def test_a_call_whose_caller_does_not_sample_has_no_span_and_passes_nothing_on(
    gateway: Gateway, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    heard: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers.get("traceparent", ""))
        return await answered(request)

    feature_server.answer = answer
    await get(gateway, NOT_SAMPLED)
    assert heard == [""]
    await get(gateway, f"00-{'1' * 32}-{PARENT}-01")
    receiver.one(GET)
    assert {span.trace_id for span in receiver.spans} == {"1" * 32}


async def test_a_request_over_http_is_traced_without_the_users_id(gateway: Gateway, receiver: Receiver) -> None:
    async with aiohttp.ClientSession(headers={"Traceparent": SAMPLED}) as session:
        for path in (f"/features/{USER}", f"/features/{USER}?feature_service=nope"):
            async with session.get(gateway.http_url + path) as response:
                await response.read()
    answered, refused = receiver.wait_for("GET /features/{user_id}", 2)
    assert (answered.trace_id, answered.parent_id) == (TRACE, PARENT)
    assert answered.attributes["http.response.status_code"] == 200
    assert answered.attributes["http.route"] == "/features/{user_id}"
    assert refused.attributes["http.response.status_code"] == 404
    assert refused.attributes["error.type"] == "FEATURE_SERVICE_UNKNOWN"
    assert receiver.one("read").parent_id == answered.span_id


async def test_a_batch_is_one_call_of_many_rows(gateway: Gateway, receiver: Receiver) -> None:
    ids = [f"{number:04}-AAAAA" for number in range(100)]
    request = BatchGetUserFeaturesRequest(user_ids=ids, feature_service="scores_v1")
    await gateway.stub.BatchGetUserFeatures(request, timeout=BOUND_S)
    call = receiver.one(f"{SERVICE}/BatchGetUserFeatures")
    assert (call.attributes["gateway.rows"], call.attributes["gateway.feature_service"]) == (100, "scores_v1")
    assert "gateway.coalesced" not in call.attributes
    reads = receiver.wait_for("read", 2)
    assert {read.parent_id for read in reads} == {call.span_id}
    assert sum(read.attributes["gateway.rows"] for read in reads) == 100


async def test_each_message_of_a_stream_has_a_trace_of_its_own_linked_to_the_streams(
    gateway: Gateway, receiver: Receiver
) -> None:
    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        for number in range(2):
            yield StreamUserFeaturesRequest(request_id=number, request=GetUserFeaturesRequest(user_id=USER))

    replies = gateway.stub.StreamUserFeatures(messages(), metadata=(("traceparent", SAMPLED),), timeout=BOUND_S)
    assert len([reply async for reply in replies]) == 2
    first, second = receiver.wait_for(f"{SERVICE}/StreamUserFeatures", 2)
    assert len({first.trace_id, second.trace_id, TRACE}) == 3
    assert (first.links, second.links) == ([PARENT], [PARENT])
    assert (first.parent_id, first.attributes["gateway.rows"]) == ("", 1)


async def test_a_call_that_fails_says_the_reason(
    gateway: Gateway, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async def down(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    await ask(gateway, user_id="nobody")
    feature_server.answer = down
    await ask(gateway)
    malformed, unavailable = receiver.wait_for(GET, 2)
    assert malformed.attributes["error.type"] == "USER_ID_MALFORMED"
    assert malformed.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert not malformed.failed
    assert unavailable.attributes["error.type"] == "UPSTREAM_UNAVAILABLE"
    assert unavailable.failed
    assert receiver.one("read").failed


async def test_a_call_that_is_refused_under_overload_is_shed(
    settings: Settings, tracing: Tracing, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = held = HeldAnswers(answered)
    async with serving(replace(settings, max_queued_calls=1), tracing=tracing) as gateway:
        first = asyncio.create_task(get(gateway, NOT_SAMPLED))
        await held.arrived.wait()
        waiting = asyncio.create_task(get(gateway, NOT_SAMPLED))
        await until_it_waits(gateway, 1)
        await ask(gateway)
        held.gate.set()
        await asyncio.gather(first, waiting)
    shed = receiver.one(GET)
    assert (shed.attributes["gateway.shed"], shed.attributes["error.type"]) == (True, "OVERLOADED")
    assert not receiver.named("read")


async def test_a_call_that_is_answered_from_memory_is_stale(
    settings: Settings, tracing: Tracing, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async def down(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with serving(replace(settings, stale_if_down_s=60.0), tracing=tracing) as gateway:
        await get(gateway, NOT_SAMPLED)
        feature_server.answer = down
        await get(gateway)
    call = receiver.one(GET)
    assert (call.attributes["gateway.stale"], call.attributes["rpc.response.status_code"]) == (True, "OK")


async def test_no_span_has_a_users_id_or_a_value(
    gateway: Gateway, receiver: Receiver, feature_server: FakeFeatureServer
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        values: dict[str, Any] = {"profile_fv__months_active": 77123456, "profile_fv__monthly_fee": 1.5}
        values |= {"profile_fv__plan_stream_tv": True, "profile_fv__net_service": "a-value-of-a-user"}
        return web.json_response(feast_answer(await request.json(), values=values))

    feature_server.answer = answer
    await get(gateway)
    await ask(gateway, user_id="nobody@example.org")
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/features/{USER}") as response:
        assert "a-value-of-a-user" in await response.text()
    receiver.wait_for(GET, 2)
    receiver.wait_for("GET /features/{user_id}")
    sent = b"".join(span.message.SerializeToString() for span in receiver.spans)
    assert GET.encode() in sent
    for text in (USER, "nobody", "a-value-of-a-user", "77123456"):
        assert text.encode() not in sent


async def test_the_line_of_a_failed_call_names_its_trace(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format=Format.JSON), own=["feature_gateway"])
    for traceparent, wrong in ((NOT_SAMPLED, {"feature_service": "nope_v1"}), (SAMPLED, {"user_id": "nobody"})):
        with pytest.raises(grpc.aio.AioRpcError):
            await get(gateway, traceparent, **wrong)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    failed = [(line["reason"], line.get("trace_id")) for line in lines if line["event"] == "call failed"]
    assert failed == [("FEATURE_SERVICE_UNKNOWN", None), ("USER_ID_MALFORMED", TRACE)]
