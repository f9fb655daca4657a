"""A stream's questions, each answered once: in front of a real gateway, and of one that never answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, ClassVar

import grpc
import orjson
import pytest
from aiohttp import web
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer
from streamflow.features.v1.user_feature_service_pb2 import StreamUserFeaturesRequest, StreamUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
    add_UserFeatureServiceServicer_to_server,
)
from streamflow_features import (
    Answer,
    AsyncFeatureClient,
    DeadlineExceeded,
    FailedPrecondition,
    FeatureServingError,
    InvalidArgument,
    Question,
    StalenessPolicy,
    Unavailable,
    UserFeatures,
)

_USER = "3413-BMNZE"
_BOUND_S = 20


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


async def _asked(questions: Iterable[Question]) -> AsyncIterator[Question]:
    for question in questions:
        yield question


async def _all_answers(client: AsyncFeatureClient, *questions: Question, **keywords: Any) -> dict[Question, Any]:
    """What came of each question, in the order of the answers."""
    results: dict[Question, Any] = {}
    async with asyncio.timeout(_BOUND_S):
        async for answer in client.stream_user_features(_asked(questions), **keywords):
            assert answer.question not in results
            results[answer.question] = answer.result
    assert set(results) == set(questions)
    return results


async def _echo_user(request: web.Request) -> web.Response:
    """Answers with each user's number as its months_active."""
    body = orjson.loads(await request.read())
    answer = feast_answer(body)
    column = answer["metadata"]["feature_names"].index("profile_fv__months_active")
    answer["results"][column]["values"] = [int(user_id[:4]) for user_id in body["entities"]["user_id"]]
    return web.json_response(answer)


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncFeatureClient]:
    async with AsyncFeatureClient(gateway.addresses.grpc, timeout_s=_BOUND_S) as running:
        yield running


async def test_every_question_gets_its_own_answer(
    client: AsyncFeatureClient, feature_server: FakeFeatureServer
) -> None:
    feature_server.answer = _echo_user
    questions = [Question(_user(number % 2000)) for number in range(3000)]
    results = await _all_answers(client, *questions)
    for question, result in results.items():
        assert result.user_id == question.user_id
        assert result["months_active"] == int(question.user_id[:4])


async def test_no_questions_get_no_answers(client: AsyncFeatureClient) -> None:
    assert await _all_answers(client) == {}


async def test_a_question_may_ask_what_a_call_may(client: AsyncFeatureClient) -> None:
    current = (await client.get_user_features(_USER)).contract_hash
    plain = Question(_USER)
    scores = Question(_USER, feature_service="scores_v1", contract_hash=current, include_serving_info=True)
    omitted = Question(_USER, features=["profile_fv:months_active"], max_age_s=1, staleness_policy=StalenessPolicy.OMIT)
    results = await _all_answers(client, plain, scores, omitted)
    assert results[plain]["months_active"] == 1
    assert results[plain].serving_info is None
    assert list(results[scores]) == ["profile_fv__score", "usage_fv__score"]
    assert results[scores].serving_info.upstream_time_s > 0
    assert dict(results[omitted]) == {"months_active": None}


async def test_what_is_wrong_with_a_question_is_its_own_answer(client: AsyncFeatureClient) -> None:
    bad, stale, good = Question("nobody"), Question(_USER, contract_hash="sha256:00"), Question(_USER)
    results = await _all_answers(client, bad, stale, good)
    assert isinstance(results[bad], InvalidArgument)
    assert results[bad].reason == "ERROR_REASON_USER_ID_MALFORMED"
    assert isinstance(results[stale], FailedPrecondition)
    assert results[stale].metadata["requested_hash"] == "sha256:00"
    assert isinstance(results[good], UserFeatures)


async def test_a_slow_answer_does_not_hold_the_others_up(
    client: AsyncFeatureClient, feature_server: FakeFeatureServer
) -> None:
    async def never_for_seven(request: web.Request) -> web.Response:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            await asyncio.Event().wait()
        return await _echo_user(request)

    feature_server.answer = never_for_seven
    slow, other = Question(_user(7), timeout_s=0.2), Question(_user(8))
    results = await _all_answers(client, slow, other)
    assert isinstance(results[slow], DeadlineExceeded)
    assert results[other]["months_active"] == 8


async def test_no_more_questions_are_taken_than_may_be_unanswered(
    client: AsyncFeatureClient, feature_server: FakeFeatureServer
) -> None:
    taken, answered, most = 0, 0, 0

    async def counted() -> AsyncIterator[Question]:
        nonlocal taken, most
        for number in range(50):
            taken += 1
            most = max(most, taken - answered)
            yield Question(_user(number))

    feature_server.answer = _echo_user
    async with asyncio.timeout(_BOUND_S):
        async for _ in client.stream_user_features(counted(), max_in_flight=3):
            answered += 1
    assert (taken, answered, most) == (50, 50, 3)


async def test_a_conversation_may_wait_for_its_next_question(client: AsyncFeatureClient) -> None:
    questions: asyncio.Queue[Question] = asyncio.Queue()

    async def one_by_one() -> AsyncIterator[Question]:
        while True:
            yield await questions.get()

    async with asyncio.timeout(_BOUND_S), aclosing(client.stream_user_features(one_by_one())) as answers:
        for number in range(3):
            question = Question(_user(number))
            questions.put_nowait(question)
            answer: Answer = await anext(answers)
            assert answer.question is question


async def test_what_the_questions_raise_is_raised(client: AsyncFeatureClient) -> None:
    async def broken() -> AsyncIterator[Question]:
        yield Question(_USER)
        raise RuntimeError("no more")

    answers = client.stream_user_features(broken())
    with pytest.raises(RuntimeError, match="no more"):
        _ = [answer async for answer in answers]


async def test_closing_the_client_ends_its_streams(gateway: Gateway) -> None:
    async def endless() -> AsyncIterator[Question]:
        yield Question(_USER)
        await asyncio.Event().wait()

    client = AsyncFeatureClient(gateway.addresses.grpc, timeout_s=_BOUND_S)
    answers = client.stream_user_features(endless())
    async with asyncio.timeout(_BOUND_S):
        await anext(answers)
        await client.close()
        with pytest.raises(FeatureServingError, match="closed"):
            await anext(answers)


async def test_without_a_gateway_every_question_is_unavailable() -> None:
    async with AsyncFeatureClient("ipv4:127.0.0.1:1,127.0.0.1:2", timeout_s=_BOUND_S) as client:
        results = await _all_answers(client, *(Question(_user(number)) for number in range(5)))
    assert {type(result) for result in results.values()} == {Unavailable}


class Mute(UserFeatureServiceServicer):
    """Takes questions, and never answers: as a gateway that is frozen."""

    GetUserFeatures: ClassVar[Any] = None
    BatchGetUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    def __init__(self, *, ends: bool) -> None:
        self.streams: list[int] = []
        self._ends = ends

    async def StreamUserFeatures(  # noqa: N802  # the method's name in the API
        self, request_iterator: AsyncIterator[StreamUserFeaturesRequest], context: Any
    ) -> AsyncIterator[StreamUserFeaturesResponse]:
        self.streams.append(0)
        async for _ in request_iterator:
            self.streams[-1] += 1
            if self._ends:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield StreamUserFeaturesResponse()


async def _mute_server(servicer: Mute) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    add_UserFeatureServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


async def test_a_gateway_that_never_answers_costs_each_question_no_more_than_its_deadline() -> None:
    servicer = Mute(ends=False)
    server, target = await _mute_server(servicer)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with AsyncFeatureClient(target, timeout_s=0.2) as client:
        results = await _all_answers(client, Question(_USER), Question(_USER, timeout_s=0.1))
    assert loop.time() - started < _BOUND_S / 2
    assert {type(result) for result in results.values()} == {DeadlineExceeded}
    await server.stop(None)


async def test_a_question_whose_stream_breaks_is_asked_once_more_and_then_answered_with_why() -> None:
    servicer = Mute(ends=True)
    server, target = await _mute_server(servicer)
    async with AsyncFeatureClient(target, timeout_s=_BOUND_S) as client:
        first, second = Question(_user(1)), Question(_user(2))
        async with asyncio.timeout(_BOUND_S):
            results = [answer.result async for answer in client.stream_user_features(_asked([first]))]
            assert servicer.streams == [1, 1]
            results += [answer.result async for answer in client.stream_user_features(_asked([second]))]
    assert servicer.streams == [1, 1, 1, 1]
    for result in results:
        assert isinstance(result, FeatureServingError)
        assert (type(result), str(result)) == (Unavailable, "gone")
    await server.stop(None)
