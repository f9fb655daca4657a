"""One user's wrong value fails that user alone, and nobody is shown it: not its sharers, not the log."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import grpc
import orjson
import pytest
import rows_route_fakes
from aiohttp import web
from feature_gateway.upstream.feast_errors import known_words
from gateway_fakes import Answer, FakeFeatureServer, Gateway, error_details, feast_answer
from google.rpc import code_pb2
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
)

_WRONG, _RIGHT, _FIRST = "0002-BBBBB", "0001-AAAAA", "0003-CCCCC"
_SECRET = "SECRET of user B"
_GOT = "String" if rows_route_fakes.ON else "str"
_SAID = (
    f"The feature server's value of profile_fv:months_active is not Int64 (got {_GOT}): "
    "feature server and gateway are not on the same definitions."
)
_BOUND_S = 20


def _answer_with_a_wrong_value(*, arrived: asyncio.Event, hold: asyncio.Event) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        user_ids = body["entities"]["user_id"]
        if user_ids == [_FIRST]:
            arrived.set()
            await hold.wait()
        content = feast_answer(body)
        column = content["metadata"]["feature_names"].index("profile_fv__months_active")
        for place, user_id in enumerate(user_ids):
            if user_id == _WRONG:
                content["results"][column]["values"][place] = _SECRET
        return web.json_response(content)

    return answer


async def _failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def _waiting(gateway: Gateway) -> float:
    """How many rows wait for a read to start."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/metrics") as reply:
        (line,) = [line for line in (await reply.text()).splitlines() if line.startswith("gateway_queued_calls ")]
    return float(line.split()[1])


async def test_users_who_share_a_read_are_answered_beside_one_with_a_wrong_value(
    gateway: Gateway, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")
    arrived, free = asyncio.Event(), asyncio.Event()
    feature_server.answer = _answer_with_a_wrong_value(arrived=arrived, hold=free)

    def get(user_id: str) -> Any:
        return gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=user_id), timeout=_BOUND_S)

    async def http(user_id: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.http_url}/features/{user_id}") as reply:
            return {"http": reply.status, **json.loads(await reply.read())}

    first = asyncio.ensure_future(get(_FIRST))
    async with asyncio.timeout(_BOUND_S):
        await arrived.wait()
        others = [asyncio.ensure_future(call) for call in (_failure(get(_WRONG)), get(_RIGHT), http(_WRONG))]
        while await _waiting(gateway) < len(others):
            pass
        free.set()
        error, right, problem = await asyncio.gather(*others)
    assert any({_WRONG, _RIGHT} <= {*request["entities"]["user_id"]} for request in feature_server.requests)
    assert right.user_features.user_known
    assert (await first).user_features.user_known
    assert (error.code().name, error.details()) == ("INTERNAL", _SAID)
    assert error_details(error)[0].reason == "ERROR_REASON_UPSTREAM_MISMATCH"
    assert (problem["http"], problem["detail"]) == (500, _SAID)
    assert _SAID.rstrip(".") in caplog.text
    assert "SECRET" not in caplog.text + str(error) + str(problem)


async def test_a_batch_has_the_rows_of_all_but_the_user_with_the_wrong_value(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _answer_with_a_wrong_value(arrived=asyncio.Event(), hold=asyncio.Event())
    request = BatchGetUserFeaturesRequest(user_ids=[_FIRST, _WRONG, _RIGHT])
    first, wrong, right = (await gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S)).results
    assert first.user_features.user_known
    assert right.user_features.user_known
    assert (wrong.error.code, wrong.error.message) == (code_pb2.INTERNAL, _SAID)


_LEFT_OUT = "words of its own, which are in its log"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('"Error 111 connecting to 127.0.0.1:6380. Connection refused."', None),
        ('"Timeout reading from 127.0.0.1:6380"', None),
        ('"Connection closed by server."', None),
        ('"Connection of SECRET"', _LEFT_OUT),
        ("\"'SECRET' has type str, but expected one of: int\"", "… but expected one of …"),
        ('"Feature SECRET not found in projection of SECRET"', "… not found in projection …"),
        ('"no plan of 0002-BBBBB"', _LEFT_OUT),
        ('"SECRET"', _LEFT_OUT),
        ('{"detail": [{"input": "SECRET"}]}', _LEFT_OUT),
        ('<b title="SECRET">busy', _LEFT_OUT),
    ],
)
def test_what_an_unsuccessful_answer_says_is_logged_in_known_words_alone(body: str, shown: str | None) -> None:
    assert known_words(body.encode()) == (shown or json.loads(body))


async def test_what_feast_says_of_a_value_is_in_no_error_and_not_in_the_log(
    gateway: Gateway, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feature_gateway")

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(f"could not convert string to float: 'SECRET' of {_WRONG}", status=500)

    feature_server.answer = answer
    error = await _failure(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_WRONG), timeout=_BOUND_S))
    assert "answered 500: words of its own" in caplog.text
    assert "SECRET" not in caplog.text + str(error)
    assert _WRONG not in caplog.text
