"""What is the gateway's own, or known to be worse, where the native engine serves gRPC."""

import asyncio
import sys
from dataclasses import replace

import grpc
import psutil
import pytest
from aiohttp import web
from feature_gateway.errors import StartError
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from gateway_process import TIMEOUT_S, gateway_process
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_METHOD = "/streamflow.features.v1.UserFeatureService/GetUserFeatures"
_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_MIB = 2**20
_TOO_MANY_RESETS = 100


@pytest.fixture
def grpc_engine() -> str:
    return "native"


async def _code_of(gateway: Gateway, *, timeout_s: float | None = None) -> grpc.StatusCode:
    try:
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_without_its_package_the_gateway_does_not_start_and_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygrpc_native.aio", None)
    with pytest.raises(StartError, match=r"install feature-gateway\[native\]"):
        async with serving(settings):
            pass


async def test_a_call_without_a_deadline_gets_the_default_time(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(TIMEOUT_S)
        return web.Response()

    feature_server.answer = hang
    async with asyncio.timeout(TIMEOUT_S / 2), serving(replace(settings, default_timeout_s=0.1)) as gateway:
        assert await _code_of(gateway) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_connections_beyond_the_most_are_closed_and_the_first_ones_are_kept(settings: Settings) -> None:
    async with asyncio.timeout(TIMEOUT_S), serving(replace(settings, max_connections=2)) as gateway:
        assert await _code_of(gateway) is grpc.StatusCode.OK
        host, port = gateway.addresses.grpc.split(":")
        kept, kept_writer = await asyncio.open_connection(host, int(port))
        closed, closed_writer = await asyncio.open_connection(host, int(port))
        while await closed.read(1024):
            pass
        assert not kept.at_eof()
        assert await _code_of(gateway) is grpc.StatusCode.OK
        kept_writer.close()
        closed_writer.close()


async def test_a_client_of_a_list_of_addresses_has_to_set_its_authority(settings: Settings) -> None:
    """The engine resets calls whose :authority is no host and port; gRPC's clients send the whole list in it."""
    async with asyncio.timeout(TIMEOUT_S), serving(settings) as gateway:
        addresses = f"ipv4:{gateway.addresses.grpc},{gateway.addresses.grpc}"
        async with grpc.aio.insecure_channel(addresses) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await UserFeatureServiceStub(channel).GetUserFeatures(_REQUEST)
        assert raised.value.code() is grpc.StatusCode.INTERNAL
        async with grpc.aio.insecure_channel(addresses, options=[("grpc.default_authority", "gateway")]) as channel:
            await UserFeatureServiceStub(channel).GetUserFeatures(_REQUEST)


async def test_a_request_beyond_4_mib_is_refused_but_only_after_all_of_it_was_read(settings: Settings) -> None:
    """This is why the engine is not the default: any caller can take any memory, for the time of one call."""
    async with asyncio.timeout(TIMEOUT_S), gateway_process(settings) as gateway:
        process = psutil.Process(gateway.process.pid)
        before = process.memory_info().rss
        most = before
        options = [("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
            call = method(bytes(64 * _MIB))
            code = asyncio.ensure_future(call.code())
            while not code.done():
                most = max(most, process.memory_info().rss)
                await asyncio.wait({code}, timeout=0.005)
        assert await code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert max(most, process.memory_info().rss) - before > 48 * _MIB


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _headers(**headers: str) -> bytes:
    """As HPACK has them without a table."""
    pairs = [(name.replace("__", ":").replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in pairs)


async def test_a_client_that_cancels_many_calls_before_they_have_begun_loses_its_connection(settings: Settings) -> None:
    """As when the deadlines of many calls pass at once on a busy machine: its other calls end UNAVAILABLE."""
    asked = _headers(
        __method="POST",
        __scheme="http",
        __path=_METHOD,
        __authority="gateway",
        te="trailers",
        content_type="application/grpc",
    )
    cancelled = (8).to_bytes(4, "big")
    calls = b"".join(
        _frame(1, 4, stream, asked) + _frame(3, 0, stream, cancelled) for stream in range(1, 2 * _TOO_MANY_RESETS, 2)
    )
    async with asyncio.timeout(TIMEOUT_S), serving(settings) as gateway:
        host, port = gateway.addresses.grpc.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"") + calls)
        assert b"too_many_resets" in await reader.read(-1)
        writer.close()
        assert await _code_of(gateway) is grpc.StatusCode.OK
