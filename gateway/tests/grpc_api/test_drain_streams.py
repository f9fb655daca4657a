"""A stream does not outlive its gateway's drain pause: what was read is answered, the rest is asked elsewhere."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import create_autospec

import aiohttp
import grpc
import pytest
from aiohttp import web
from feature_gateway.access.credentials import Credentials
from feature_gateway.access.gate import open_gate
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.streaming import answer_all
from feature_gateway.grpc_api.untaken import Untaken
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, error_details, feast_answer
from gateway_process import TIMEOUT_S, GatewayProcess, gateway_process
from google.protobuf.duration_pb2 import Duration
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import (
    GetUserFeaturesRequest,
    ListFeatureServicesRequest,
    StreamUserFeaturesRequest,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceAsyncStub

_ENDLESS_S = 600.0


def _question(number: int) -> StreamUserFeaturesRequest:
    return StreamUserFeaturesRequest(
        request_id=number,
        request=GetUserFeaturesRequest(user_id=f"{number:04d}-AAAAA"),
        timeout=Duration(seconds=TIMEOUT_S),
    )


@dataclass
class Gate:
    """Holds a feature server's answers back until it is opened."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.arrived.set()
        await self.opened.wait()
        return web.json_response(feast_answer(await request.json()))


@pytest.fixture
def gate(feature_server: FakeFeatureServer) -> Gate:
    gate = Gate()
    feature_server.answer = gate.answer
    return gate


@dataclass
class Stream:
    """An open stream to a gateway that never cuts calls short."""

    gateway: GatewayProcess
    stub: "UserFeatureServiceAsyncStub"
    call: Any

    async def ask(self, *numbers: int) -> None:
        for number in numbers:
            await self.call.write(_question(number))

    async def ask_no_more(self) -> None:
        """Return once the gateway knows that no question follows."""
        await self.call.done_writing()
        # Both are of one connection, whose frames the gateway takes in the order in which they were sent.
        await self.stub.ListFeatureServices(ListFeatureServicesRequest())

    async def until_queued(self, count: int) -> None:
        """Return once so many questions wait for the one that is being read."""
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.gateway.http_url}/metrics") as response:
                    if f"gateway_queued_calls {count:.1f}\n" in await response.text():
                        return

    async def end(self) -> None:
        """Return once the gateway has been told to end, its drain pause is over, and it takes nothing new."""
        self.gateway.process.send_signal(signal.SIGTERM)
        await self.gateway.refuses_connections()

    async def remaining(self) -> tuple[set[int], grpc.aio.AioRpcError | None]:
        """What is still answered, and what the stream ends with."""
        answered: set[int] = set()
        try:
            while (answer := await self.call.read()) is not grpc.aio.EOF:
                assert answer.response.user_features.user_known
                assert answer.request_id not in answered
                answered.add(answer.request_id)
        except grpc.aio.AioRpcError as error:
            return answered, error
        return answered, None


@asynccontextmanager
async def _stream(settings: Settings) -> AsyncIterator[Stream]:
    settings = replace(settings, shutdown_grace_s=_ENDLESS_S)
    async with (
        asyncio.timeout(TIMEOUT_S),
        gateway_process(settings) as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        stub = UserFeatureServiceStub(channel)
        yield Stream(gateway, stub, stub.StreamUserFeatures())
        assert await gateway.process.wait() == 0


def _assert_told_to_go(error: grpc.aio.AioRpcError | None) -> None:
    assert error is not None
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_details(error)[0].reason == "ERROR_REASON_SHUTTING_DOWN"


async def test_an_open_stream_without_questions_does_not_hold_up_the_end(settings: Settings) -> None:
    async with _stream(settings) as stream:
        await stream.ask(1)
        assert (await stream.call.read()).request_id == 1
        await stream.end()
        answered, error = await stream.remaining()
    assert answered == set()
    _assert_told_to_go(error)


async def test_questions_read_before_the_end_are_answered_and_later_ones_are_not_read(
    settings: Settings, gate: Gate, feature_server: FakeFeatureServer
) -> None:
    async with _stream(settings) as stream:
        await stream.ask(1)
        await gate.arrived.wait()
        await stream.ask(2, 3)
        await stream.until_queued(2)
        await stream.end()
        await stream.ask(4)
        gate.opened.set()
        answered, error = await stream.remaining()
    assert answered == {1, 2, 3}
    _assert_told_to_go(error)
    asked = [user_id for request in feature_server.requests for user_id in request["entities"]["user_id"]]
    assert asked == ["0001-AAAAA", "0002-AAAAA", "0003-AAAAA"]


async def test_a_question_that_arrives_together_with_the_end_is_not_read() -> None:
    ending = asyncio.Event()

    async def questions() -> AsyncIterator[StreamUserFeaturesRequest]:
        ending.set()
        yield _question(1)

    answers = answer_all(
        questions(),
        create_autospec(Lookup),
        credentials=Credentials(open_gate(), ""),
        remaining_s=lambda: None,
        max_in_flight=2,
        ending=ending,
        observer=create_autospec(Observer),
        untaken=Untaken(max_stream_bytes=4096, max_bytes=4096),
        stall_s=_ENDLESS_S,
    )
    with pytest.raises(GatewayError) as raised:
        await anext(answers)
    assert raised.value.reason == ErrorReason.ERROR_REASON_SHUTTING_DOWN


async def test_a_stream_with_no_room_for_questions_ends_once_those_that_it_took_are_answered(
    settings: Settings, gate: Gate
) -> None:
    async with _stream(replace(settings, max_stream_in_flight=3)) as stream:
        await stream.ask(1)
        await gate.arrived.wait()
        await stream.ask(2, 3, 4, 5)
        await stream.until_queued(2)
        await stream.end()
        gate.opened.set()
        answered, error = await stream.remaining()
    assert answered == {1, 2, 3}
    _assert_told_to_go(error)


async def test_a_stream_whose_caller_had_asked_all_ends_well(settings: Settings, gate: Gate) -> None:
    async with _stream(settings) as stream:
        await stream.ask(1)
        await gate.arrived.wait()
        await stream.ask(2)
        await stream.ask_no_more()
        await stream.until_queued(1)
        await stream.end()
        gate.opened.set()
        answered, error = await stream.remaining()
    assert answered == {1, 2}
    assert error is None


async def test_a_stream_in_the_drain_pause_is_still_answered(settings: Settings) -> None:
    async with _stream(replace(settings, drain_pause_s=_ENDLESS_S)) as stream:
        stream.gateway.process.send_signal(signal.SIGTERM)
        await stream.gateway.line_with("draining")
        await stream.ask(1)
        assert (await stream.call.read()).request_id == 1
        await stream.end()
        _, error = await stream.remaining()
    _assert_told_to_go(error)
