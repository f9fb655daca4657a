"""GetUserFeatures of the native engine, which is answered without a task for each call."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc
import pygrpc_native.aio as native
import pytest
from aiohttp import ClientSession, web
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, error_details, feast_answer, serving
from gateway_process import TIMEOUT_S
from held_answers import HeldAnswers
from streamflow.features.v1.request_data_pb2 import RequestValue
from streamflow.features.v1.user_feature_service_pb2 import (
    FeatureReferences,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
)

_METHOD = "/streamflow.features.v1.UserFeatureService/GetUserFeatures"
_PLAIN = GetUserFeaturesRequest(user_id="3413-BMNZE").SerializeToString()
_OTHER = GetUserFeaturesRequest(user_id="0000-AAAAA").SerializeToString()
_COUNTED = re.compile(r'gateway_calls_total\{code="(\w+)",method="GetUserFeatures"\} (\S+)')
_SERVICE = GetUserFeaturesRequest(feature_service="churn_v1").SerializeToString()


def _request(**fields: object) -> bytes:
    return GetUserFeaturesRequest(user_id="3413-BMNZE", **fields).SerializeToString()  # type: ignore[arg-type]  # any field


_REQUESTS = {
    "plain": _PLAIN,
    "feature service": _PLAIN + _SERVICE,
    "references": _request(feature_references=FeatureReferences(references=["usage_fv:score", "profile_fv:score"])),
    "unknown feature service": _request(feature_service="nope"),
    "malformed reference": _request(feature_references=FeatureReferences(references=["a:b:c"])),
    "another contract": _request(contract_hash="sha256:00"),
    "unknown policy": _request(staleness_policy=77),
    "serving info": _request(include_serving_info=True),
    "request data": _request(request_data={"x": RequestValue(double_value=1.0)}),
    "no id": b"",
    "empty id": b"\x0a\x00",
    "id behind its service": _SERVICE + _PLAIN,
    "two ids": _PLAIN + _OTHER,
    "two ids, the last empty": _PLAIN + b"\x0a\x00",
    "an id between": _PLAIN + _SERVICE + _OTHER,
    "wrong form of id": GetUserFeaturesRequest(user_id="x").SerializeToString(),
    "long id": GetUserFeaturesRequest(user_id="x" * 127).SerializeToString(),
    "length of two bytes": GetUserFeaturesRequest(user_id="x" * 128).SerializeToString(),
    "length of one byte in two": b"\x0a\x8a\x00" + _PLAIN[2:],
    "id that is not UTF-8": b"\x0a\x02\xff\xfe",
    "cut within the id": _PLAIN[:-1],
    "cut within the length": b"\x0a",
    "garbage behind": _PLAIN + b"\xff",
    "unknown field behind": _PLAIN + b"\xf8\x07\x01",
    "large": _PLAIN + b"\xfa\x07\x88\x27" + bytes(5000),
}


@pytest.fixture
def grpc_engine() -> str:
    return "native"


@pytest.fixture
async def engines(settings: Settings) -> AsyncIterator[list[Gateway]]:
    """A gateway of each engine, in front of one feature server."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serving(replace(settings, grpc_engine=engine)))
            for engine in ("grpcio", "native")
        ]


async def _answer(gateway: Gateway, request: bytes, *metadata: tuple[str, str]) -> object:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = gateway.channel.unary_unary(_METHOD)
    try:
        reply = await method(request, timeout=TIMEOUT_S, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        info, bad_request = error_details(error)
        return error.code(), error.details(), info, bad_request
    parsed = GetUserFeaturesResponse.FromString(reply)
    served = parsed.HasField("serving_info")
    parsed.ClearField("serving_info")
    return parsed, served


@pytest.mark.parametrize("request_name", _REQUESTS)
async def test_a_request_of_any_form_is_answered_as_by_the_other_engine(
    engines: list[Gateway], request_name: str
) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        expected, answered = [await _answer(gateway, _REQUESTS[request_name]) for gateway in engines]
    assert answered == expected


async def test_plain_calls_have_no_task_and_others_have(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when the package calls the server for its requests in another way than it did."""
    tasks: list[int] = []
    run = native.Server._run

    async def counted(self: native.Server, call: native._Call, payload: bytes) -> None:
        tasks.append(call.call_id)
        await run(self, call, payload)

    monkeypatch.setattr(native.Server, "_run", counted)
    async with asyncio.timeout(TIMEOUT_S), serving(settings) as gateway:
        await asyncio.gather(*(_answer(gateway, _REQUESTS["plain"]) for _ in range(20)))
        assert tasks == []
        await _answer(gateway, _REQUESTS["serving info"])
        assert len(tasks) == 1


async def test_only_calls_of_one_authorization_share_a_read(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    reads: list[tuple[str | None, list[str]]] = []

    async def note(request: web.Request) -> web.StreamResponse:
        reads.append((request.headers.get("authorization"), (await request.json())["entities"]["user_id"]))
        return await _feasts_answer(request)

    feature_server.answer = note
    async with asyncio.timeout(TIMEOUT_S), serving(settings) as gateway:
        bearers = {user_id: f"Bearer {user_id}" for user_id in ("3413-BMNZE", "0000-AAAAA")}
        requests = {user_id: GetUserFeaturesRequest(user_id=user_id).SerializeToString() for user_id in bearers}
        calls = [(requests[user_id], ("authorization", bearer)) for user_id, bearer in bearers.items()] * 4
        await asyncio.gather(*(_answer(gateway, request, metadata) for request, metadata in calls))
    assert {bearer for bearer, _ in reads} == {*bearers.values()}
    assert all([bearers[user_id] for user_id in user_ids] == [bearer] for bearer, user_ids in reads)


async def test_every_end_of_a_call_is_counted_once(settings: Settings, feature_server: FakeFeatureServer) -> None:
    held = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        await held.wait()
        return await _feasts_answer(request)

    async with asyncio.timeout(TIMEOUT_S), serving(settings) as gateway:
        await _answer(gateway, _PLAIN)
        feature_server.answer = hold
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = gateway.channel.unary_unary(_METHOD)
        late, left = method(_PLAIN, timeout=0.05), method(_OTHER, timeout=TIMEOUT_S)
        assert await late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        left.cancel()
        while (counted := await _counted(gateway)).total() < 3:
            pass
        held.set()
        assert await _counted(gateway) == counted
    # On a busy machine, the gateway can hear that the client has given up ahead of its own timer.
    assert counted.keys() <= {"OK", "DEADLINE_EXCEEDED", "CANCELLED"}
    assert (counted["OK"], counted["DEADLINE_EXCEEDED"] + counted["CANCELLED"]) == (1, 2)


async def _counted(gateway: Gateway) -> Counter[str]:
    """Return how many calls of ours are counted, by the code that they ended with."""
    async with ClientSession() as session, session.get(f"{gateway.http_url}/metrics") as response:
        lines = (await response.text()).splitlines()
    ends = (_COUNTED.fullmatch(line) for line in lines)
    return Counter({end[1]: int(float(end[2])) for end in ends if end})


async def test_a_call_under_way_is_answered_while_the_server_ends(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    held = feature_server.answer = HeldAnswers(_feasts_answer)
    async with asyncio.timeout(TIMEOUT_S), AsyncExitStack() as outer:
        async with running_gateway(settings) as addresses:
            channel = await outer.enter_async_context(grpc.aio.insecure_channel(addresses.grpc))
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            under_way = method(_PLAIN, timeout=TIMEOUT_S)
            await held.arrived.wait()
            asyncio.get_running_loop().call_later(0.2, held.gate.set)
        assert await under_way.code() is grpc.StatusCode.OK


async def _feasts_answer(request: web.Request) -> web.Response:
    return web.json_response(feast_answer(await request.json()))
