"""List features, on every call: typed, in order, empty or null, fresh or old, and wrong for one user alone."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import Answer, FakeFeatureServer, Gateway, contract_content, feast_answer, serving, written_contract
from google.rpc import code_pb2
from list_fakes import LIST_VALUES, LISTS, SERVICE, with_lists
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.user_feature_service_pb2 import (
    STALENESS_POLICY_OMIT,
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetFeatureServiceRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

_USER, _OTHER = "3413-BMNZE", "0000-AAAAA"
_BOUND_S = 20
_EMBEDDING = [position / 7 for position in range(768)]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _answer(by_user: Mapping[str, Mapping[str, Any]] = MappingProxyType({}), *, stamp: str | None = None) -> Answer:
    """Answers with the lists of LISTS, but for the values of `by_user`."""

    async def answer(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        content = feast_answer(body, values=LIST_VALUES, stamp=stamp or _now())
        for name, column in zip(content["metadata"]["feature_names"], content["results"], strict=True):
            for place, user_id in enumerate(body["entities"]["user_id"]):
                if name in by_user.get(user_id, {}):
                    column["values"][place] = by_user[user_id][name]
        return web.json_response(content)

    return answer


@pytest.fixture
def contract_path(tmp_path: Path) -> Path:
    return written_contract(tmp_path, with_lists(contract_content()))


@pytest.fixture
async def gateway(settings: Settings, feature_server: FakeFeatureServer) -> AsyncIterator[Gateway]:
    feature_server.answer = _answer()
    async with serving(replace(settings, stale_if_down_s=60.0)) as running:
        yield running


def _sent(user: feature_pb2.UserFeatures) -> dict[str, tuple[str | None, Any]]:
    return {
        feature.name: (field, list(getattr(feature, field).val) if field else None)
        for feature in user.features
        for field in [feature.WhichOneof("value")]
    }


_ALL_SENT = {case.name: (case.field, case.sent) for case in LISTS}


async def test_a_list_of_each_type_arrives_in_one_call_in_a_batch_and_in_a_stream(gateway: Gateway) -> None:
    question = GetUserFeaturesRequest(user_id=_USER, feature_service=SERVICE)
    single = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    batch = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_USER, _OTHER], feature_service=SERVICE), timeout=_BOUND_S
    )
    stream = gateway.stub.StreamUserFeatures(iter([StreamUserFeaturesRequest(request=question)]), timeout=_BOUND_S)
    streamed = [answer.response.user_features async for answer in stream]
    users = [single.user_features, *(result.user_features for result in batch.results), *streamed]
    assert len(users) == 4
    assert [_sent(user) for user in users] == [_ALL_SENT] * 4
    assert {feature.status for user in users for feature in user.features} == {feature_pb2.FEATURE_STATUS_PRESENT}


async def test_a_feature_service_says_which_features_are_lists(gateway: Gateway) -> None:
    said = await gateway.stub.GetFeatureService(GetFeatureServiceRequest(name=SERVICE), timeout=_BOUND_S)
    assert [entry.dtype for entry in said.feature_service.features] == [case.dtype for case in LISTS]


async def test_lists_over_http_are_lists_of_what_single_values_would_be(gateway: Gateway) -> None:
    path = f"{gateway.http_url}/features/{_USER}"
    async with aiohttp.ClientSession() as session, session.get(path, params={"feature_service": SERVICE}) as reply:
        body = await reply.json()
    assert body["features"] == {case.name: case.shown for case in LISTS}


async def test_an_empty_list_is_a_value_and_null_is_none(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    nothing: dict[str, Any] = {name: [] for name in LIST_VALUES}
    feature_server.answer = _answer({_USER: nothing, _OTHER: dict.fromkeys(LIST_VALUES)})
    reply = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_USER, _OTHER], feature_service=SERVICE), timeout=_BOUND_S
    )
    empty, null = (result.user_features for result in reply.results)
    assert _sent(empty) == {case.name: (case.field, []) for case in LISTS}
    assert {feature.status for feature in empty.features} == {feature_pb2.FEATURE_STATUS_PRESENT}
    assert _sent(null) == {case.name: (None, None) for case in LISTS}
    assert {feature.status for feature in null.features} == {feature_pb2.FEATURE_STATUS_NULL_VALUE}


async def test_a_list_that_is_too_old_is_flagged_or_left_out(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _answer(stamp="2024-02-29T00:00:00Z")
    question = GetUserFeaturesRequest(user_id=_USER, feature_service=SERVICE)
    flagged = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    question.staleness_policy = STALENESS_POLICY_OMIT
    left_out = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    assert _sent(flagged.user_features) == _ALL_SENT
    assert _sent(left_out.user_features) == {case.name: (None, None) for case in LISTS}
    for reply in (flagged, left_out):
        statuses = {feature.status for feature in reply.user_features.features}
        assert statuses == {feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE}


async def test_a_wrong_element_is_the_error_of_its_user_alone_and_in_no_text(
    gateway: Gateway, feature_server: FakeFeatureServer, caplog: pytest.LogCaptureFixture
) -> None:
    feature_server.answer = _answer({_USER: {"lists_fv__some_int64": [1, "SECRET"]}})
    reply = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_OTHER, _USER], feature_service=SERVICE), timeout=_BOUND_S
    )
    right, wrong = reply.results
    assert _sent(right.user_features) == _ALL_SENT
    assert wrong.error.code == code_pb2.INTERNAL
    assert wrong.error.message == (
        "The feature server's value of lists_fv:some_int64 is not List(Int64) (got list of int, str): "
        "feature server and gateway are not on the same definitions."
    )
    assert "SECRET" not in caplog.text + str(reply)


async def test_an_embedding_arrives_to_the_last_bit(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    feature_server.answer = _answer({_USER: {"lists_fv__some_float64": _EMBEDDING}})
    reference = FeatureReferences(references=["lists_fv:some_float64"])
    question = GetUserFeaturesRequest(user_id=_USER, feature_references=reference)
    reply = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    assert _sent(reply.user_features) == {"some_float64": ("double_list_value", _EMBEDDING)}


async def test_lists_are_remembered_for_an_outage(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async def down(_request: web.Request) -> web.Response:
        return web.json_response("Error 111 connecting to 127.0.0.1:6380. Connection refused.", status=500)

    question = GetUserFeaturesRequest(user_id=_USER, feature_service=SERVICE)
    read = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    feature_server.answer = down
    remembered = await gateway.stub.GetUserFeatures(question, timeout=_BOUND_S)
    assert remembered.HasField("stale_age")
    assert remembered.user_features == read.user_features
