"""While the feature servers are down, a user read lately is answered from memory, and the reply says so."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from feast.protos.feast.serving.ServingService_pb2 import FeatureList, GetOnlineFeaturesRequest
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import DeadlineExceededError, GatewayError, OneRowError, UpstreamUnavailableError
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.lookup.stale_if_down import StaleIfDown
from feature_gateway.reads import Served
from feature_gateway.server import Controls, running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import (
    Answer,
    FakeFeatureServer,
    Gateway,
    contract_content,
    feast_answer,
    serving,
    with_hash,
)
from google.protobuf.duration_pb2 import Duration
from row_fakes import row_of_text
from streamflow.features.v1.error_reason_pb2 import ERROR_REASON_UPSTREAM_UNAVAILABLE
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_OUTSIDE_MAX_AGE, FEATURE_STATUS_PRESENT
from streamflow.features.v1.user_feature_service_pb2 import (
    STALENESS_POLICY_FAIL,
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
    StreamUserFeaturesRequest,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_USER, _OTHER, _UNREAD = "3413-BMNZE", "0001-AAAAA", "0002-AAAAA"
_REQUEST = GetUserFeaturesRequest(user_id=_USER)
_BOUND_S = 20


def _says(status: int, body: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode(), content_type="application/json")

    return answer


async def _hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


_down = _says(500, '"Error 111 connecting to 127.0.0.1:6380. Connection refused."')


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, stale_if_down_s=60.0)


async def _get(gateway: Gateway, authorization: str | None = None, **fields: Any) -> GetUserFeaturesResponse:
    request = GetUserFeaturesRequest(**{"user_id": _USER, **fields})
    metadata = (("authorization", authorization),) if authorization else ()
    return await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S, metadata=metadata)


async def _failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def _http(gateway: Gateway, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(gateway.http_url + path) as response:
        assert response.status == 200
        return await response.text()


async def _counted(gateway: Gateway) -> float:
    lines = (await _http(gateway, "/metrics")).splitlines()
    (line,) = [line for line in lines if line.startswith("gateway_stale_answers_total ")]
    return float(line.split()[1])


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(_down, id="Redis down"),
        pytest.param(_says(503, "busy"), id="a proxy in between is busy"),
        pytest.param(_hangs_up, id="connection cut"),
    ],
)
async def test_a_user_read_before_the_outage_is_answered_marked_and_counted(
    gateway: Gateway, feature_server: FakeFeatureServer, outage: Answer
) -> None:
    started = time.monotonic()
    fresh = await _get(gateway)
    assert not fresh.HasField("stale_age")
    assert await _counted(gateway) == 0
    feature_server.answer = outage
    stale = await _get(gateway)
    assert stale.user_features == fresh.user_features
    assert stale.contract_hash == fresh.contract_hash
    assert stale.HasField("stale_age")
    assert stale.stale_age.ToTimedelta().total_seconds() <= time.monotonic() - started
    assert await _counted(gateway) == 1


async def test_the_first_answer_after_the_outage_is_a_fresh_one(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await _get(gateway)
    feature_server.answer = _down
    await _get(gateway)
    feature_server.answer = None
    assert not (await _get(gateway)).HasField("stale_age")


async def test_a_user_not_read_before_is_unavailable(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    await _get(gateway)
    feature_server.answer = _down
    for fields in ({"user_id": _OTHER}, {"feature_service": "scores_v1"}):
        error = await _failure(_get(gateway, **fields))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await _counted(gateway) == 0


async def test_it_is_off_by_default(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async with serving(replace(settings, stale_if_down_s=Settings().stale_if_down_s)) as gateway:
        await _get(gateway)
        feature_server.answer = _down
        error = await _failure(_get(gateway))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_row_older_than_the_age_is_not_answered(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async with serving(replace(settings, stale_if_down_s=1e-9)) as gateway:
        await _get(gateway)
        feature_server.answer = _down
        error = await _failure(_get(gateway))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_no_more_rows_are_remembered_than_allowed(settings: Settings, feature_server: FakeFeatureServer) -> None:
    async with serving(replace(settings, stale_if_down_rows=1)) as gateway:
        await _get(gateway)
        await _get(gateway, user_id=_OTHER)
        feature_server.answer = _down
        assert (await _get(gateway, user_id=_OTHER)).HasField("stale_age")
        error = await _failure(_get(gateway))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_row_is_for_the_credentials_that_it_was_read_with(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await _get(gateway, "Bearer one")
    feature_server.answer = _down
    for authorization in ("Bearer two", None):
        error = await _failure(_get(gateway, authorization))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert (await _get(gateway, "Bearer one")).HasField("stale_age")


@pytest.mark.parametrize(
    ("status", "code"), [(401, grpc.StatusCode.UNAUTHENTICATED), (403, grpc.StatusCode.PERMISSION_DENIED)]
)
async def test_credentials_refused_are_no_outage_and_their_row_is_forgotten(
    gateway: Gateway, feature_server: FakeFeatureServer, status: int, code: grpc.StatusCode
) -> None:
    await _get(gateway, "Bearer one")
    feature_server.answer = _says(status, '{"detail":"Invalid or expired access token"}')
    assert (await _failure(_get(gateway, "Bearer one"))).code() is code
    feature_server.answer = _down
    assert (await _failure(_get(gateway, "Bearer one"))).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_forgets_all_that_was_read_with_the_credentials_and_nothing_else(
    gateway: Gateway, feature_server: FakeFeatureServer, status: int
) -> None:
    batch = BatchGetUserFeaturesRequest(user_ids=[_USER, _OTHER])
    for authorization in ("Bearer one", "Bearer two"):
        await gateway.stub.BatchGetUserFeatures(batch, timeout=_BOUND_S, metadata=(("authorization", authorization),))
        await _get(gateway, authorization, feature_service="scores_v1")
    feature_server.answer = _says(status, '{"detail":"Invalid or expired access token"}')
    await _failure(_get(gateway, "Bearer one", user_id=_UNREAD))
    feature_server.answer = _down
    asked: list[dict[str, Any]] = [{"user_id": _USER}, {"user_id": _OTHER}, {"feature_service": "scores_v1"}]
    for fields in asked:
        assert (await _get(gateway, "Bearer two", **fields)).HasField("stale_age")
        error = await _failure(_get(gateway, "Bearer one", **fields))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_time_that_runs_out_sooner_than_a_server_answers_is_no_outage(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        yield StreamUserFeaturesRequest(request=_REQUEST, timeout=Duration(nanos=903_000_000))

    # Less than a second: gRPC sends longer ones in steps of 10 ms.
    async with serving(replace(settings, deadline_margin_s=0.9)) as gateway:
        await _get(gateway)
        # Revoked, and the server is well: it takes longer to say so than the callers have.
        feature_server.answer = _hangs
        calls = (
            _failure(gateway.stub.GetUserFeatures(_REQUEST, timeout=0.903)),
            _failure(gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=[_USER]), timeout=0.903)),
        )
        for error in await asyncio.gather(*calls):
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        stream: Any = gateway.stub.StreamUserFeatures(messages(), timeout=_BOUND_S)
        assert [answer.error.code async for answer in stream] == [grpc.StatusCode.DEADLINE_EXCEEDED.value[0]]
        assert await _counted(gateway) == 0


@pytest.mark.parametrize("error", [DeadlineExceededError("late"), UpstreamUnavailableError("gone")])
@pytest.mark.parametrize("silent", [True, False])
async def test_time_that_runs_out_is_an_outage_only_while_no_server_answers(
    error: GatewayError, *, silent: bool
) -> None:
    feature_set = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
    row = row_of_text("a")

    class Failing:
        async def row(self, *_: Any, **_fields: Any) -> Served:
            raise error

        async def rows(self, *_: Any, **_fields: Any) -> list[Served | OneRowError]:
            raise error

    last_known = LastKnown(max_age_s=60, max_rows=10, max_bytes=10**6, now_s=time.monotonic)
    last_known.remember(feature_set, ("u",), row, caller_key="p")
    reader = StaleIfDown(Failing(), last_known, silent=lambda _: silent)
    for read in (
        reader.row(feature_set, ("u",), caller_key="p", timeout_s=1),
        reader.rows(feature_set, [("u",)], caller_key="p", timeout_s=1),
    ):
        if silent or isinstance(error, UpstreamUnavailableError):
            assert await read
        else:
            with pytest.raises(DeadlineExceededError):
                await read


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(
            _says(404, '"Feature view profile_fv does not exist"'), grpc.StatusCode.INTERNAL, id="not applied"
        ),
        pytest.param(_says(200, "{}"), grpc.StatusCode.INTERNAL, id="another form"),
        pytest.param(
            _says(500, "\"Feature view 'profile_fv' is in state MATERIALIZING\""),
            grpc.StatusCode.UNAVAILABLE,
            id="materializing",
        ),
        pytest.param(_says(500, '"Missing join key values"'), grpc.StatusCode.INVALID_ARGUMENT, id="rejected"),
    ],
)
async def test_a_failure_that_is_no_outage_is_told_as_ever(
    gateway: Gateway, feature_server: FakeFeatureServer, answer: Answer, code: grpc.StatusCode
) -> None:
    await _get(gateway)
    feature_server.answer = answer
    error = await _failure(_get(gateway))
    assert error.code() is code


async def test_a_frozen_feature_server_is_answered_for_within_the_deadline(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    # A margin far above scheduling noise.
    async with serving(replace(settings, deadline_margin_s=1.0)) as gateway:
        await _get(gateway)
        await _get(gateway, user_id=_OTHER)
        feature_server.answer = _hangs
        # The second waits in the queue behind the first, and is never read.
        replies = await asyncio.gather(
            gateway.stub.GetUserFeatures(_REQUEST, timeout=1.2),
            gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_OTHER), timeout=1.2),
        )
        assert [reply.HasField("stale_age") for reply in replies] == [True, True]
        assert await _counted(gateway) == 2


async def test_a_deadline_gone_before_anything_was_asked_is_no_outage(settings: Settings) -> None:
    async with serving(replace(settings, deadline_margin_s=2 * _BOUND_S)) as gateway:
        # Without a deadline there is no margin.
        await gateway.stub.GetUserFeatures(_REQUEST)
        error = await _failure(_get(gateway))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_overload_is_no_outage(settings: Settings, feature_server: FakeFeatureServer) -> None:
    arrived, free = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await free.wait()
        return web.json_response(feast_answer(await request.json()))

    async with asyncio.timeout(_BOUND_S), serving(replace(settings, max_queued_calls=1)) as gateway:
        await _get(gateway)
        feature_server.answer = slow
        first = asyncio.ensure_future(_get(gateway))
        await arrived.wait()
        # Of two that come while one is read, the queue takes one.
        others = [asyncio.ensure_future(_failure(_get(gateway))) for _ in range(2)]
        done, (waiting,) = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().code() for task in done] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
        waiting.cancel()
        free.set()
        assert not (await first).HasField("stale_age")
        assert await _counted(gateway) == 0


async def test_a_batch_is_answered_when_all_its_users_are_known(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await _get(gateway)
    request = BatchGetUserFeaturesRequest(user_ids=[_OTHER, "nobody", _USER, _OTHER], include_serving_info=True)
    fresh = await gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S)
    assert not any(result.HasField("stale_age") for result in fresh.results)
    feature_server.answer = _down
    stale = await gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S)
    assert [result.user_id for result in stale.results] == [_OTHER, "nobody", _USER, _OTHER]
    assert [result.HasField("stale_age") for result in stale.results] == [True, False, True, True]
    assert [result.user_features for result in stale.results] == [result.user_features for result in fresh.results]
    assert stale.results[1].error == fresh.results[1].error
    assert stale.serving_info.batch_size == 0
    assert await _counted(gateway) == 2


async def test_a_user_whom_a_batch_does_not_know_has_the_error_alone(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    known = BatchGetUserFeaturesRequest(user_ids=[_USER, _OTHER])
    fresh = await gateway.stub.BatchGetUserFeatures(known, timeout=_BOUND_S)
    feature_server.answer = _down
    alone = await _failure(_get(gateway, user_id=_UNREAD))
    request = BatchGetUserFeaturesRequest(user_ids=[_USER, _UNREAD, _OTHER, _UNREAD])
    stale = await gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S)
    assert [result.user_id for result in stale.results] == [_USER, _UNREAD, _OTHER, _UNREAD]
    assert [result.WhichOneof("result") for result in stale.results] == ["user_features", "error"] * 2
    assert [result.HasField("stale_age") for result in stale.results] == [True, False] * 2
    assert [stale.results[place].user_features for place in (0, 2)] == [each.user_features for each in fresh.results]
    assert {each.error.code for each in stale.results[1::2]} == {alone.code().value[0]}
    assert {each.error.message for each in stale.results[1::2]} == {alone.details()}
    assert {each.error.reason for each in stale.results[1::2]} == {ERROR_REASON_UPSTREAM_UNAVAILABLE}
    assert await _counted(gateway) == 2


async def test_a_batch_that_knows_none_of_its_users_is_unavailable(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await _get(gateway)
    feature_server.answer = _down
    request = BatchGetUserFeaturesRequest(user_ids=[_UNREAD, _OTHER])
    error = await _failure(gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert await _counted(gateway) == 0


async def test_feasts_api_answers_rows_from_memory_only_if_all_are_known(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    """A reply of GetOnlineFeatures has no place for the error of one row."""
    stub: Any = ServingServiceStub(gateway.channel)  # type: ignore[no-untyped-call]  # Feast's

    def asked(*user_ids: str) -> GetOnlineFeaturesRequest:
        values = RepeatedValue(val=[Value(string_val=user_id) for user_id in user_ids])
        references = FeatureList(val=["profile_fv:net_service"])
        return GetOnlineFeaturesRequest(features=references, entities={"user_id": values})

    fresh = await stub.GetOnlineFeatures(asked(_USER, _OTHER), timeout=_BOUND_S)
    feature_server.answer = _down
    assert await stub.GetOnlineFeatures(asked(_USER, _OTHER), timeout=_BOUND_S) == fresh
    error = await _failure(stub.GetOnlineFeatures(asked(_USER, _UNREAD), timeout=_BOUND_S))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "Row" not in (error.details() or "")


async def test_a_user_whom_a_batch_could_not_read_is_not_remembered(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def rejects_one(request: web.Request) -> web.Response:
        body = await request.json()
        if _OTHER in body["entities"]["user_id"]:
            return web.json_response("Missing join key values", status=500)
        return web.json_response(feast_answer(body))

    feature_server.answer = rejects_one
    await gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=[_USER, _OTHER]), timeout=_BOUND_S)
    feature_server.answer = _down
    assert (await _get(gateway)).HasField("stale_age")
    error = await _failure(_get(gateway, user_id=_OTHER))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_message_of_a_stream_is_answered_too(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    await _get(gateway)
    feature_server.answer = _down

    async def messages() -> AsyncIterator[StreamUserFeaturesRequest]:
        for number, user_id in enumerate((_USER, _OTHER)):
            yield StreamUserFeaturesRequest(request_id=number, request=GetUserFeaturesRequest(user_id=user_id))

    stream: Any = gateway.stub.StreamUserFeatures(messages(), timeout=_BOUND_S)
    answers = {answer.request_id: answer async for answer in stream}
    assert answers[0].response.HasField("stale_age")
    assert answers[1].error.code == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_http_says_how_long_ago_the_features_were_read(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    started = time.monotonic()
    fresh = json.loads(await _http(gateway, f"/features/{_USER}"))
    assert "stale_age_s" not in fresh
    feature_server.answer = _down
    stale = json.loads(await _http(gateway, f"/features/{_USER}"))
    assert 0 <= stale.pop("stale_age_s") <= time.monotonic() - started
    assert stale == fresh


async def test_serving_info_of_a_remembered_answer_has_no_read(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    await _get(gateway)
    feature_server.answer = _down
    info = (await _get(gateway, include_serving_info=True)).serving_info
    assert info.gateway_time.ToTimedelta().total_seconds() > 0
    assert (info.queue_time, info.upstream_time, info.batch_size) == (Duration(), Duration(), 0)
    assert not info.retried
    assert not info.hedged


async def test_freshness_is_judged_as_for_any_row(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    scores: dict[str, Any] = {"feature_service": "scores_v1"}
    # The answer is not what is remembered: what one request has flagged another may take.
    ageless = await _get(gateway, **scores, max_age=Duration(seconds=10**10))
    assert {feature.status for feature in ageless.user_features.features} == {FEATURE_STATUS_PRESENT}
    feature_server.answer = _down
    for _ in range(2):
        reply = await _get(gateway, **scores)
        assert [feature.status for feature in reply.user_features.features] == [
            FEATURE_STATUS_PRESENT,
            FEATURE_STATUS_OUTSIDE_MAX_AGE,
        ]
        assert (await _get(gateway, **scores, max_age=Duration(seconds=10**10))).user_features == ageless.user_features
    error = await _failure(_get(gateway, **scores, staleness_policy=STALENESS_POLICY_FAIL))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await _counted(gateway) == 4


async def test_a_row_read_under_one_contract_is_not_answered_under_the_next(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    controls = Controls()
    async with (
        asyncio.timeout(_BOUND_S),
        running_gateway(settings, controls=controls) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):
        stub = UserFeatureServiceStub(channel)
        old = await stub.GetUserFeatures(_REQUEST, timeout=_BOUND_S)
        content = contract_content()
        # The features asked for stay as they are.
        content["feature_views"][1]["max_age_s"] = 1.0
        path = settings.contract_path.with_suffix(".new")
        path.write_text(json.dumps(with_hash(content)))
        feature_server.answer = _down
        assert (await stub.GetUserFeatures(_REQUEST, timeout=_BOUND_S)).HasField("stale_age")
        path.replace(settings.contract_path)
        controls.reload_contract.set()
        while (code := await stub.GetUserFeatures(_REQUEST, timeout=_BOUND_S).code()) is grpc.StatusCode.OK:
            pass
        assert code is grpc.StatusCode.UNAVAILABLE
        feature_server.answer = None
        reply = await stub.GetUserFeatures(_REQUEST, timeout=_BOUND_S)
    assert reply.contract_hash == with_hash(content)["hash"] != old.contract_hash
