"""A feature server's answer has a bound in bytes, and a row beyond it fails alone."""

import grpc
import orjson
import pytest
from aiohttp import web
from feature_gateway.upstream import connection
from gateway_fakes import FakeFeatureServer, Gateway, error_details, feast_answer
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest

_HUGE = "0002-BBBBB"
_USERS = ["0001-AAAAA", _HUGE, "0003-CCCCC", "0004-DDDDD", "0005-EEEEE"]
_BOUND_S = 20


async def _answer(request: web.Request) -> web.Response:
    body = orjson.loads(await request.read())
    content = feast_answer(body)
    column = content["metadata"]["feature_names"].index("profile_fv__net_service")
    for place, user_id in enumerate(body["entities"]["user_id"]):
        if user_id == _HUGE:
            content["results"][column]["values"][place] = "x" * 100_000
    return web.json_response(content)


async def test_a_row_whose_answer_is_too_large_fails_alone(
    feature_server: FakeFeatureServer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MAX_BODY_BYTES", 50_000)
    feature_server.answer = _answer
    reply = await gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=_USERS), timeout=_BOUND_S)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_HUGE), timeout=_BOUND_S)
    # The server is in service all the time.
    await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USERS[0]), timeout=_BOUND_S)
    assert [result.WhichOneof("result") for result in reply.results] == [
        "error" if user_id == _HUGE else "user_features" for user_id in _USERS
    ]
    assert error_details(raised.value)[0].reason == "ERROR_REASON_UPSTREAM_MISMATCH"
    assert raised.value.details() == "The feature server's answer is larger than 64 MiB, even for this row alone."
