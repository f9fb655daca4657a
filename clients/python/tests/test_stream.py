"""A stream's questions, each answered once: in front of a real gateway, and of one that never answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

import grpc
import orjson
import pytest
from aiohttp import web
from both_faces import Asker, all_answers, asked, asking, echo_user
from gateway_fakes import FakeFeatureServer, Gateway
from streamflow.features.v1.user_feature_service_pb2 import StreamUserFeaturesRequest, StreamUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import (
    UserFeatureServiceServicer,
    add_UserFeatureServiceServicer_to_server,
)
from streamflow_features import (
    DeadlineExceeded,
    FeatureServingError,
    Question,
    Unavailable,
)

_USER = "3413-BMNZE"
_BOUND_S = 20


def _user(number: int) -> str:
    return f"{number:04d}-AAAAA"


async def test_a_slow_answer_does_not_hold_the_others_up(ask: Asker, feature_server: FakeFeatureServer) -> None:
    async def never_for_seven(request: web.Request) -> web.Response:
        if _user(7) in orjson.loads(await request.read())["entities"]["user_id"]:
            await asyncio.Event().wait()
        return await echo_user(request)

    feature_server.answer = never_for_seven
    slow, other = Question(_user(7), timeout_s=0.2), Question(_user(8))
    results = await all_answers(ask, slow, other)
    assert isinstance(results[slow], DeadlineExceeded)
    assert results[other]["months_active"] == 8


async def test_closing_the_client_ends_its_streams(face: str, gateway: Gateway) -> None:
    async def endless() -> AsyncIterator[Question]:
        yield Question(_USER)
        await asyncio.Event().wait()

    async with asking(face, gateway.addresses.grpc) as ask, asyncio.timeout(_BOUND_S):
        answers = ask.stream(endless())
        await anext(answers)
        await ask.close()
        with pytest.raises(FeatureServingError, match="closed"):
            await anext(answers)


async def test_without_a_gateway_every_question_is_unavailable(face: str) -> None:
    async with asking(face, "ipv4:127.0.0.1:1,127.0.0.1:2", timeout_s=_BOUND_S) as ask:
        results = await all_answers(ask, *(Question(_user(number)) for number in range(5)))
    assert {type(result) for result in results.values()} == {Unavailable}


class Mute(UserFeatureServiceServicer):
    """Takes questions, and never answers: as a gateway that is frozen."""

    GetUserFeatures: ClassVar[Any] = None
    BatchGetUserFeatures: ClassVar[Any] = None
    GetFeatureService: ClassVar[Any] = None
    ListFeatureServices: ClassVar[Any] = None

    def __init__(self, *, ends: bool) -> None:
        self.streams: list[int] = []
        self.left = asyncio.Event()
        self._ends = ends

    async def StreamUserFeatures(  # noqa: N802  # the method's name in the API
        self, request_iterator: AsyncIterator[StreamUserFeaturesRequest], context: Any
    ) -> AsyncIterator[StreamUserFeaturesResponse]:
        self.streams.append(0)
        try:
            async for _ in request_iterator:
                self.streams[-1] += 1
                if self._ends:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        finally:
            self.left.set()
        yield StreamUserFeaturesResponse()


async def _mute_server(servicer: Mute) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    add_UserFeatureServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


async def test_a_gateway_that_never_answers_costs_each_question_no_more_than_its_deadline(face: str) -> None:
    servicer = Mute(ends=False)
    server, target = await _mute_server(servicer)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asking(face, target, timeout_s=0.2) as ask:
        results = await all_answers(ask, Question(_USER), Question(_USER, timeout_s=0.1))
    assert loop.time() - started < _BOUND_S / 2
    assert {type(result) for result in results.values()} == {DeadlineExceeded}
    await server.stop(None)


async def test_a_question_whose_stream_breaks_isasked_three_times_more_and_then_answered_with_why(
    face: str,
) -> None:
    servicer = Mute(ends=True)
    server, target = await _mute_server(servicer)
    async with asking(face, target, timeout_s=_BOUND_S) as ask:
        first, second = Question(_user(1)), Question(_user(2))
        async with asyncio.timeout(_BOUND_S):
            results = [answer.result async for answer in ask.stream(asked([first]))]
            assert servicer.streams == [1] * 4
            results += [answer.result async for answer in ask.stream(asked([second]))]
    assert servicer.streams == [1] * 8
    for result in results:
        assert isinstance(result, FeatureServingError)
        assert (type(result), str(result)) == (Unavailable, "gone")
    await server.stop(None)


async def test_a_caller_that_takes_no_more_answers_ends_the_call(face: str) -> None:
    async def endless() -> AsyncIterator[Question]:
        yield Question(_USER, timeout_s=0.1)
        await asyncio.Event().wait()

    servicer = Mute(ends=False)
    server, target = await _mute_server(servicer)
    async with asking(face, target, timeout_s=_BOUND_S) as ask, asyncio.timeout(_BOUND_S):
        async with aclosing(ask.stream(endless())) as answers:
            await anext(answers)
        await servicer.left.wait()
    await server.stop(None)
