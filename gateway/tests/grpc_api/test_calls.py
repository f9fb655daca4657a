"""Batches, streams, descriptions, and what a request may ask of its own reply."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import orjson
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, error_details, feast_answer, serving
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import (
    STALENESS_POLICY_FAIL,
    STALENESS_POLICY_OMIT,
    BatchGetUserFeaturesRequest,
    FeatureReferences,
    GetFeatureServiceRequest,
    GetUserFeaturesRequest,
    ListFeatureServicesRequest,
    StalenessPolicy,
    StreamUserFeaturesRequest,
    StreamUserFeaturesResponse,
)

_USER = "3413-BMNZE"
_BOUND_S = 20


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


async def _failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


async def _echo_user(request: web.Request) -> web.Response:
    """Answers with each user's number as its months_active."""
    body = orjson.loads(await request.read())
    answer = feast_answer(body)
    column = answer["metadata"]["feature_names"].index("profile_fv__months_active")
    answer["results"][column]["values"] = [int(user_id[:4]) for user_id in body["entities"]["user_id"]]
    return web.json_response(answer)


async def test_a_batch_has_one_result_a_user_in_the_order_asked(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _echo_user
    numbers = [5, 3, 5, 9, *range(100, 300)]
    reply = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_user(number) for number in numbers]), timeout=_BOUND_S
    )
    assert [result.user_id for result in reply.results] == [_user(number) for number in numbers]
    assert [result.user_features.features[0].int64_value for result in reply.results] == numbers
    assert reply.contract_hash.startswith("sha256:")
    sizes = [len(request["entities"]["user_id"]) for request in feature_server.requests]
    # Cut into the largest reads, since no other call waits; no user is asked for twice.
    assert sizes == [64, 64, 64, 11]
    assert sum(sizes) == len(set(numbers))


async def test_one_users_bad_id_is_that_users_error(gateway: Gateway) -> None:
    reply = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_USER, "nobody", "", _user(1)]), timeout=_BOUND_S
    )
    assert [result.WhichOneof("result") for result in reply.results] == [
        "user_features",
        "error",
        "error",
        "user_features",
    ]
    malformed, empty = reply.results[1].error, reply.results[2].error
    assert malformed.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert malformed.reason == ErrorReason.ERROR_REASON_USER_ID_MALFORMED
    assert "'nobody' is not of the form" in malformed.message
    assert malformed.metadata["pattern"] == "^[0-9]{4}-[A-Z]{5}$"
    assert empty.reason == ErrorReason.ERROR_REASON_USER_ID_EMPTY


async def test_a_user_that_the_feature_server_rejects_does_not_fail_the_batch(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    async def picky(request: web.Request) -> web.Response:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            return web.Response(status=500, body=b"\"attribute name must be string, not 'NoneType'\"")
        return await _echo_user(request)

    feature_server.answer = picky
    reply = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_user(number) for number in range(20)]), timeout=_BOUND_S
    )
    errors = {result.user_id: result.error for result in reply.results if result.HasField("error")}
    assert list(errors) == [_user(7)]
    assert errors[_user(7)].reason == ErrorReason.ERROR_REASON_REJECTED_UPSTREAM


@pytest.mark.parametrize(
    ("user_ids", "reason", "message"),
    [
        ([], "USER_IDS_EMPTY", "user_ids is empty"),
        ([_USER] * 1001, "USER_IDS_TOO_MANY", "1001 user ids, and a batch takes 1000"),
    ],
)
async def test_a_batch_of_none_or_too_many_is_refused(
    gateway: Gateway, feature_server: FakeFeatureServer, user_ids: list[str], reason: str, message: str
) -> None:
    error = await _failure(
        gateway.stub.BatchGetUserFeatures(BatchGetUserFeaturesRequest(user_ids=user_ids), timeout=_BOUND_S)
    )
    info, bad_request = error_details(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == f"ERROR_REASON_{reason}"
    assert message in (error.details() or "")
    assert [violation.field for violation in bad_request.field_violations] == ["user_ids"]
    assert feature_server.requests == []


async def test_a_bad_selection_is_the_whole_batchs_error(gateway: Gateway) -> None:
    request = BatchGetUserFeaturesRequest(user_ids=[_USER], feature_service="nope")
    error = await _failure(gateway.stub.BatchGetUserFeatures(request, timeout=_BOUND_S))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_single_call_waits_for_no_more_than_one_read_of_a_large_batch(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    arrived: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def held(request: web.Request) -> web.Response:
        gate = asyncio.Event()
        arrived.put_nowait(gate)
        await gate.wait()
        return await _echo_user(request)

    feature_server.answer = held
    async with asyncio.timeout(_BOUND_S):
        batch = asyncio.ensure_future(
            gateway.stub.BatchGetUserFeatures(
                BatchGetUserFeaturesRequest(user_ids=[_user(number) for number in range(1000)]), timeout=_BOUND_S
            )
        )
        first = await arrived.get()
        single = asyncio.ensure_future(
            gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)
        )
        # The call is in the queue once a third one, of the same connection, has been refused behind it.
        await _failure(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id="bad"), timeout=_BOUND_S))
        first.set()
        (await arrived.get()).set()
        await single
        assert not batch.done()
        first_read, second_read = (request["entities"]["user_id"] for request in feature_server.requests[:2])
        assert len(first_read) == 64
        # Before the rest of the batch, of which as much as half a read may come along.
        assert second_read[0] == _USER
        assert len(second_read) <= 33
        while not batch.done():
            gate = asyncio.ensure_future(arrived.get())
            await asyncio.wait({gate, batch}, return_when=asyncio.FIRST_COMPLETED)
            if gate.done():
                gate.result().set()
            gate.cancel()
        assert len((await batch).results) == 1000


async def test_a_callers_deadline_holds_a_slot_for_a_bounded_time(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    feature_server.answer = never
    async with asyncio.timeout(_BOUND_S), serving(replace(settings, max_timeout_s=0.3)) as gateway:
        error = await _failure(gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=600))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        feature_server.answer = None
        await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)


async def _questions(*requests: StreamUserFeaturesRequest) -> AsyncIterator[StreamUserFeaturesRequest]:
    for request in requests:
        yield request


def _question(number: int, user_id: str, **changes: Any) -> StreamUserFeaturesRequest:
    return StreamUserFeaturesRequest(request_id=number, request=GetUserFeaturesRequest(user_id=user_id), **changes)


async def _all_answers(gateway: Gateway, *requests: StreamUserFeaturesRequest) -> dict[int, StreamUserFeaturesResponse]:
    answers: dict[int, StreamUserFeaturesResponse] = {}
    async for answer in gateway.stub.StreamUserFeatures(_questions(*requests), timeout=_BOUND_S):
        assert answer.request_id not in answers
        answers[answer.request_id] = answer
    return answers


async def test_every_message_of_a_stream_is_answered_by_its_id(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _echo_user
    answers = await _all_answers(gateway, *(_question(number, _user(number)) for number in range(3000)))
    assert set(answers) == set(range(3000))
    for number, answer in answers.items():
        assert answer.response.user_features.features[0].int64_value == number
    # Thousands in flight at once are merged.
    assert len(feature_server.requests) < 1500


async def test_a_messages_error_is_its_own_and_the_stream_goes_on(gateway: Gateway) -> None:
    answers = await _all_answers(
        gateway,
        _question(1, "nobody"),
        _question(2, _USER, timeout=Duration(seconds=-1)),
        _question(3, _USER, timeout=Duration(seconds=5)),
        StreamUserFeaturesRequest(request_id=4),
    )
    assert answers[1].error.reason == ErrorReason.ERROR_REASON_USER_ID_MALFORMED
    assert answers[2].error.reason == ErrorReason.ERROR_REASON_TIMEOUT_INVALID
    assert answers[3].response.user_features.user_known
    assert answers[4].error.reason == ErrorReason.ERROR_REASON_USER_ID_EMPTY


async def test_a_slow_answer_does_not_hold_the_others_up(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    async def never_for_seven(request: web.Request) -> web.Response:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            await asyncio.Event().wait()
        return await _echo_user(request)

    feature_server.answer = never_for_seven
    # The one slot is taken by the message that is never answered, until its time is up.
    answers = await _all_answers(
        gateway, _question(7, _user(7), timeout=Duration(nanos=200_000_000)), _question(8, _user(8))
    )
    assert answers[7].error.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
    assert answers[8].response.user_features.features[0].int64_value == 8


async def test_a_stream_leaves_questions_unread_while_too_many_are_unanswered(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    gate = asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        await gate.wait()
        return await _echo_user(request)

    feature_server.answer = held
    async with serving(replace(settings, max_stream_in_flight=2)) as gateway, asyncio.timeout(_BOUND_S):
        call = gateway.stub.StreamUserFeatures(
            _questions(*(_question(number, _user(number)) for number in range(10))), timeout=_BOUND_S
        )
        answering = asyncio.ensure_future(anext(aiter(call)))
        gate.set()
        await answering
        seen = {answering.result().request_id}
        async for answer in call:
            seen.add(answer.request_id)
        assert seen == set(range(10))
    # No read ever had more users than might be unanswered.
    assert max(len(request["entities"]["user_id"]) for request in feature_server.requests) <= 2


async def test_bytes_that_are_no_question_end_the_stream_as_invalid(gateway: Gateway) -> None:
    call: Any = gateway.channel.stream_stream("/streamflow.features.v1.UserFeatureService/StreamUserFeatures")

    async def messages() -> AsyncIterator[bytes]:
        yield _question(1, _USER).SerializeToString()
        yield b"\xff\xff\xff"

    answers = aiter(call(messages(), timeout=_BOUND_S))
    assert StreamUserFeaturesResponse.FromString(await anext(answers)).request_id == 1
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(answers)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_feature_service_is_described_in_the_order_of_replies(gateway: Gateway) -> None:
    reply = await gateway.stub.GetFeatureService(GetFeatureServiceRequest(name="scores_v1"), timeout=_BOUND_S)
    described = [
        (feature.name, feature.feature_reference, feature.dtype, feature.HasField("max_age"), feature.max_age.seconds)
        for feature in reply.feature_service.features
    ]
    assert described == [
        ("profile_fv__score", "profile_fv:score", "Float32", False, 0),
        ("usage_fv__score", "usage_fv:score", "Float64", True, 86400),
    ]
    assert (reply.feature_service.name, reply.join_key) == ("scores_v1", "user_id")
    everything = await gateway.stub.ListFeatureServices(ListFeatureServicesRequest(), timeout=_BOUND_S)
    assert [service.name for service in everything.feature_services] == ["churn_v1", "scores_v1"]
    assert everything.feature_services[1] == reply.feature_service
    assert everything.contract_hash == reply.contract_hash


async def test_an_unknown_feature_service_is_not_found(gateway: Gateway) -> None:
    error = await _failure(gateway.stub.GetFeatureService(GetFeatureServiceRequest(name="nope"), timeout=_BOUND_S))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_request_for_another_contract_is_refused_before_any_hop(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    error = await _failure(
        gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER, contract_hash="sha256:00"), timeout=_BOUND_S)
    )
    info, _ = error_details(error)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "ERROR_REASON_CONTRACT_MISMATCH"
    assert info.metadata["requested_hash"] == "sha256:00"
    assert feature_server.requests == []
    current = info.metadata["contract_hash"]
    reply = await gateway.stub.GetUserFeatures(
        GetUserFeaturesRequest(user_id=_USER, contract_hash=current), timeout=_BOUND_S
    )
    assert reply.contract_hash == current


async def test_a_maximum_age_of_the_requests_own_and_its_policies(gateway: Gateway) -> None:
    def asked(**changes: Any) -> GetUserFeaturesRequest:
        references = FeatureReferences(references=["profile_fv:months_active", "profile_fv:plan_stream_tv"])
        return GetUserFeaturesRequest(user_id=_USER, feature_references=references, **changes)

    day = Duration(seconds=86400)
    flagged = await gateway.stub.GetUserFeatures(asked(max_age=day), timeout=_BOUND_S)
    omitted = await gateway.stub.GetUserFeatures(
        asked(max_age=day, staleness_policy=STALENESS_POLICY_OMIT), timeout=_BOUND_S
    )
    for reply, value in ((flagged, 1), (omitted, None)):
        months, plan = reply.user_features.features
        assert months.status == feature_pb2.FEATURE_STATUS_OUTSIDE_MAX_AGE
        assert (months.int64_value if months.WhichOneof("value") else None) == value
        assert months.HasField("event_timestamp")
        assert plan.status == feature_pb2.FEATURE_STATUS_NULL_VALUE
    error = await _failure(
        gateway.stub.GetUserFeatures(asked(max_age=day, staleness_policy=STALENESS_POLICY_FAIL), timeout=_BOUND_S)
    )
    info, _ = error_details(error)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "ERROR_REASON_FEATURES_TOO_OLD"
    assert float(info.metadata["months_active"]) > 86400


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"max_age": Duration(seconds=-1)}, "MAX_AGE_INVALID", "max_age"),
        ({"max_age": Duration(seconds=315_576_000_001)}, "MAX_AGE_INVALID", "max_age"),
        ({"max_age": Duration(seconds=1, nanos=-5)}, "MAX_AGE_INVALID", "max_age"),
        ({"staleness_policy": StalenessPolicy.ValueType(9)}, "STALENESS_POLICY_UNKNOWN", "staleness_policy"),
    ],
)
async def test_a_bad_age_or_policy_is_refused(
    gateway: Gateway, changes: dict[str, Any], reason: str, field: str
) -> None:
    error = await _failure(
        gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER, **changes), timeout=_BOUND_S)
    )
    info, bad_request = error_details(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == f"ERROR_REASON_{reason}"
    assert bad_request.field_violations[0].field == field


async def test_serving_info_is_in_the_reply_of_those_who_ask(gateway: Gateway) -> None:
    plain = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)
    assert not plain.HasField("serving_info")
    request = GetUserFeaturesRequest(user_id=_USER, include_serving_info=True)
    info = (await gateway.stub.GetUserFeatures(request, timeout=_BOUND_S)).serving_info
    assert info.batch_size == 1
    assert not info.retried
    assert 0 < info.upstream_time.ToTimedelta().total_seconds() <= info.gateway_time.ToTimedelta().total_seconds()
    batch = await gateway.stub.BatchGetUserFeatures(
        BatchGetUserFeaturesRequest(user_ids=[_USER, _user(1)], include_serving_info=True), timeout=_BOUND_S
    )
    assert batch.serving_info.batch_size == 2


async def test_credentials_are_sent_on_and_never_share_a_read(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return await _echo_user(request)

    feature_server.answer = note
    tokens = [None, "Bearer a", "Bearer b"]
    await asyncio.gather(
        *(
            gateway.stub.GetUserFeatures(
                GetUserFeaturesRequest(user_id=_USER),
                metadata=(("authorization", token),) if token else None,
                timeout=_BOUND_S,
            )
            for token in tokens * 5
        )
    )
    assert set(seen) == set(tokens)
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer c"}) as session,
        session.get(f"{gateway.http_url}/features/{_USER}") as response,
    ):
        assert response.status == 200
    assert seen[-1] == "Bearer c"


async def test_overload_is_refused_at_once_and_says_when_to_try_again(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    gate = asyncio.Event()

    async def held(request: web.Request) -> web.Response:
        await gate.wait()
        return await _echo_user(request)

    feature_server.answer = held
    async with serving(replace(settings, max_queued_calls=3)) as gateway, asyncio.timeout(_BOUND_S):
        calls = [
            asyncio.ensure_future(
                gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_user(number)), timeout=_BOUND_S)
            )
            for number in range(10)
        ]
        started = time.monotonic()
        refused: set[asyncio.Future[Any]] = set()
        # One is under way and three wait.
        while len(refused) < 6:
            refused, _ = await asyncio.wait({*calls} - refused, return_when=asyncio.FIRST_COMPLETED)
            refused = {call for call in calls if call.done()}
        assert time.monotonic() - started < _BOUND_S / 2
        error = next(iter(refused)).exception()
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its annotation forgets grpc.aio
        assert status is not None
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.ToTimedelta().total_seconds() > 0
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{gateway.http_url}/features/{_USER}") as response,
        ):
            assert response.status == 429
            assert int(response.headers["Retry-After"]) >= 1
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 4


async def test_an_idle_connection_that_the_server_closes_is_no_error(
    gateway: Gateway, feature_server: FakeFeatureServer
) -> None:
    closed = 0

    async def closing_once(request: web.Request) -> web.StreamResponse:
        nonlocal closed
        closed += 1
        if closed == 2:
            # As if it had closed the kept-alive connection just before the request came.
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return await _echo_user(request)

    feature_server.answer = closing_once
    for _ in range(3):
        reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)
        assert reply.user_features.user_known
    assert closed == 4


async def test_a_name_that_stands_for_feature_servers_is_resolved(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    by_name = feature_server.url.replace("http://127.0.0.1", "dns+http://localhost")
    async with serving(replace(settings, feature_server_urls=(by_name,))) as gateway, asyncio.timeout(_BOUND_S):
        while not feature_server.requests:
            # The first resolution runs beside the start.
            with suppress(grpc.aio.AioRpcError):
                await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)
        reply = await gateway.stub.GetUserFeatures(GetUserFeaturesRequest(user_id=_USER), timeout=_BOUND_S)
    assert reply.user_features.user_known
