"""Callers that take no answers, or open much: what they may hold is bounded, and others are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import psutil
import pytest
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, serving
from gateway_process import TIMEOUT_S, gateway_process
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from memory_limit import memory_limit
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
_MAX_CONCURRENT_STREAMS = bytes.fromhex("0003")
# The client takes no more than 64 KiB of a stream that the test does not read.
_NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65535), ("grpc.use_local_subchannel_pool", 1))
_MIB = 2**20
# So many questions have more answers than client and gRPC buffer: what stands behind the native engine's socket has
# windows of its own, which take about 1 MiB of questions and of answers.
_QUESTIONS = {"grpcio": 3000, "native": 40_000}


@asynccontextmanager
async def _channel(target: str) -> AsyncIterator[grpc.aio.Channel]:
    async with asyncio.timeout(3 * TIMEOUT_S), grpc.aio.insecure_channel(target, options=_NARROW) as channel:
        yield channel


async def _ask(channel: grpc.aio.Channel, count: int, *, pause_s: float = 0.0) -> Any:
    """Return a stream with `count` questions, none of whose answers is read."""
    call: Any = UserFeatureServiceStub(channel).StreamUserFeatures()
    for number in range(count):
        await call.write(
            StreamUserFeaturesRequest(
                request_id=number, request=GetUserFeaturesRequest(user_id=f"{number % 10_000:04d}-AAAAA")
            )
        )
        if pause_s and number % 40 == 0:
            await asyncio.sleep(pause_s)
    return call


def _asked(feature_server: FakeFeatureServer) -> int:
    return sum(len(request["entities"]["user_id"]) for request in feature_server.requests)


async def test_questions_of_a_stream_whose_answers_are_not_taken_are_left_unread(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    count = _QUESTIONS[settings.grpc_engine]
    limited = replace(settings, max_stream_bytes=64 * 1024)
    async with serving(limited) as gateway, _channel(gateway.addresses.grpc) as channel:
        asking = asyncio.create_task(_ask(channel, count))
        before = -1
        while before != _asked(feature_server):
            before = _asked(feature_server)
            await asyncio.wait({asking}, timeout=0.5)
            await asyncio.sleep(0.3)
        # 64 KiB in the client, as much of gRPC's own, and 64 KiB of answers, which take 1 KiB each, here.
        assert 0 < before < 0.75 * count
        # Others are answered, and so are the questions once their answers are taken.
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=TIMEOUT_S)
        if settings.grpc_engine == "native":
            # To take so many answers lasts a minute.
            asking.cancel()
            return
        call = await asking
        assert {(await call.read()).request_id for _ in range(count)} == set(range(count))


async def test_streams_share_a_bound_and_none_stands_still(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    limited = replace(settings, max_streams_bytes=16 * 1024)
    async with serving(limited) as gateway, _channel(gateway.addresses.grpc) as channel:
        stalled = [await _ask(channel, 500) for _ in range(4)]
        async with _channel(gateway.addresses.grpc) as another:
            call = await _ask(another, 50)
            assert {(await call.read()).request_id for _ in range(50)} == set(range(50))
        assert _asked(feature_server) < 2050
        for each in stalled:
            each.cancel()


async def _code(call: Any) -> tuple[grpc.StatusCode, str]:
    """Read a stream to its end, and return its status and reason."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:  # noqa: PT012  # what is read first does not matter
        while await call.read() is not grpc.aio.EOF:
            pass
    status: Any = rpc_status.from_call(raised.value)  # type: ignore[arg-type]  # its annotation forgets grpc.aio
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return raised.value.code(), info.reason


async def test_a_stream_whose_answers_are_not_taken_is_ended(settings: Settings) -> None:
    async with (
        serving(replace(settings, stream_stall_s=2.0)) as gateway,
        _channel(gateway.addresses.grpc) as channel,
        _channel(gateway.addresses.grpc) as another,
    ):
        open_stream = await _ask(another, 1)
        assert (await open_stream.read()).request_id == 0
        stalled = await _ask(channel, _QUESTIONS[settings.grpc_engine])
        # To read its status is to take its answers, so the time has to pass first.
        await asyncio.wait({asyncio.ensure_future(open_stream.code())}, timeout=3.0)
        assert await _code(stalled) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
        # One that has no answer to take is no stalled one.
        await open_stream.write(StreamUserFeaturesRequest(request_id=1, request=_REQUEST))
        assert (await open_stream.read()).request_id == 1
        open_stream.cancel()


async def test_further_streams_are_refused_until_one_ends(settings: Settings) -> None:
    async with serving(replace(settings, max_streams=1)) as gateway, _channel(gateway.addresses.grpc) as channel:
        first = await _ask(channel, 1)
        assert (await first.read()).request_id == 0
        assert await _code(await _ask(channel, 0)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED")
        await first.done_writing()
        assert await first.read() is grpc.aio.EOF
        second = await _ask(channel, 1)
        assert (await second.read()).request_id == 0
        second.cancel()


async def test_a_stream_ends_when_the_grace_of_its_connections_age_is_over(settings: Settings) -> None:
    limited = replace(settings, max_connection_age_s=0.1, max_connection_age_grace_s=0.2)
    async with asyncio.timeout(TIMEOUT_S), serving(limited) as gateway:
        call: Any = gateway.stub.StreamUserFeatures()
        await call.write(StreamUserFeaturesRequest(request_id=1, request=_REQUEST))
        assert (await call.read()).request_id == 1
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_further_connections_are_closed(settings: Settings) -> None:
    async with serving(replace(settings, max_connections=1)) as gateway:
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=TIMEOUT_S)
        async with _channel(gateway.addresses.grpc) as another:
            # The native engine closes them within 0.5 s.
            with pytest.raises(grpc.aio.AioRpcError) as raised:  # noqa: PT012  # calls until one fails
                while True:
                    await UserFeatureServiceStub(another).GetUserFeatures(_REQUEST, timeout=TIMEOUT_S)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=TIMEOUT_S)


async def test_a_connection_is_told_how_many_calls_it_may_have(settings: Settings) -> None:
    async with asyncio.timeout(TIMEOUT_S), serving(replace(settings, max_calls_per_connection=7)) as gateway:
        host, port = gateway.addresses.grpc.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_PREFACE)
        header = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
        writer.close()
        told = {payload[at : at + 2]: payload[at + 2 : at + 6] for at in range(0, len(payload), 6)}
    assert told[_MAX_CONCURRENT_STREAMS] == (7).to_bytes(4, "big")


@pytest.mark.slow
async def test_fifteen_streams_that_are_not_read_leave_a_gateway_within_256_mib(settings: Settings) -> None:
    async with gateway_process(settings) as gateway, _channel(gateway.grpc) as channel:
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        # The kernel does not count what the process has when the limit is set.
        with memory_limit(process.pid, 256 * _MIB - before):
            streams = [asyncio.create_task(_ask(channel, 5000, pause_s=0.2)) for _ in range(15)]
            await asyncio.wait(streams, timeout=TIMEOUT_S)
            async with grpc.aio.insecure_channel(gateway.grpc) as another:
                await UserFeatureServiceStub(another).GetUserFeatures(_REQUEST, timeout=TIMEOUT_S)
            after = process.memory_info().rss
            for stream in streams:
                stream.cancel()
    assert after < 256 * _MIB
    assert after - before < 96 * _MIB
