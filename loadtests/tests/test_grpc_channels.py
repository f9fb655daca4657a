"""The bare gRPC client against gRPC's own server, and beside gRPC's own client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from streamflow_loadtests.callers import http2 as grpc_connection
from streamflow_loadtests.callers.calls import Request, Transport
from streamflow_loadtests.callers.channels import BareChannel, GrpcioChannel
from streamflow_loadtests.callers.errors import CallError

_SERVICE = "test.Service"
_CHANNELS: list[Callable[[int], Transport]] = [BareChannel, GrpcioChannel]


async def _echo(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _grow(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request * 1000


async def _refuse(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "100 % taken: größer")


async def _time_left(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return str(round(context.time_remaining())).encode()


@asynccontextmanager
async def _served() -> AsyncIterator[tuple[int, grpc.aio.Server]]:
    methods = {"Echo": _echo, "Grow": _grow, "Refuse": _refuse, "TimeLeft": _time_left}
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port, server
    finally:
        await server.stop(grace=0)


@pytest.fixture(params=_CHANNELS)
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    async with _served() as (port, _), asyncio.timeout(30):
        opened: Transport = request.param(port)
        try:
            yield opened
        finally:
            await opened.close()


async def _call(channel: Transport, method: str, message: bytes) -> bytes:
    async with asyncio.timeout(30):
        return await channel.send(Request(user_ids=(), path=f"/{_SERVICE}/{method}", body=message))


async def test_a_reply_is_the_servers_bytes(channel: Transport) -> None:
    for message in (b"a", b"", b"b" * 500, bytes(range(256))):
        assert await _call(channel, "Echo", message) == message


async def test_calls_at_once_each_get_their_own_reply(channel: Transport) -> None:
    messages = [str(number).encode() * 40 for number in range(300)]
    assert await asyncio.gather(*(_call(channel, "Echo", message) for message in messages)) == messages


async def test_requests_wait_for_room_with_the_server(channel: Transport) -> None:
    # Together 40 times what a server takes before it says that it takes more.
    messages = [str(number % 10).encode() * 13_000 for number in range(200)]
    assert await asyncio.gather(*(_call(channel, "Echo", message) for message in messages)) == messages


async def test_a_reply_of_many_frames_is_read_whole(channel: Transport) -> None:
    for _ in range(3):
        assert await _call(channel, "Grow", b"0123456789" * 100) == b"0123456789" * 100_000


async def test_an_error_is_told_by_name_and_text(channel: Transport) -> None:
    for _ in range(2):
        with pytest.raises(CallError, match=r"^RESOURCE_EXHAUSTED: 100 % taken: größer$"):
            await _call(channel, "Refuse", b"")
        # Another kind of headers between does not confuse the next call.
        assert await _call(channel, "Echo", b"a") == b"a"


async def test_a_method_that_is_not_there_is_an_error(channel: Transport) -> None:
    with pytest.raises(CallError, match=r"^UNIMPLEMENTED: "):
        await _call(channel, "Nothing", b"")


async def test_the_server_is_told_of_the_deadline(channel: Transport) -> None:
    assert await _call(channel, "TimeLeft", b"") in {b"29", b"30"}
    request = Request(user_ids=(), path=f"/{_SERVICE}/TimeLeft", body=b"")
    assert await channel.send(request, timeout_s=10) in {b"9", b"10"}


async def test_a_message_too_large_for_one_frame_is_refused_and_the_next_call_answered() -> None:
    async with _served() as (port, _):
        channel = BareChannel(port)
        with pytest.raises(CallError, match="more than one frame can have"):
            await _call(channel, "Echo", b"a" * 17_000)
        assert await _call(channel, "Echo", b"a") == b"a"
        await channel.close()


async def test_the_server_gets_room_again_for_what_it_has_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_connection, "_LARGEST_WINDOW", 300_000)
    async with _served() as (port, _):
        channel = BareChannel(port)
        for _ in range(20):
            assert await _call(channel, "Grow", b"a" * 100) == b"a" * 100_000
        await channel.close()


async def test_calls_fail_when_the_server_ends_and_later_ones_when_it_is_gone() -> None:
    async with _served() as (port, server):
        channel = BareChannel(port)
        assert await _call(channel, "Echo", b"a") == b"a"
        await server.stop(grace=0)
        for _ in range(2):
            with pytest.raises(CallError, match=r"^Connection\w+Error: "):
                await _call(channel, "Echo", b"a")
        await channel.close()
