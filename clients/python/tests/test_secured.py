"""Calls over TLS, and calls that say who makes them, as both faces of the client make them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
import trustme
from aiohttp import web
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer
from streamflow_features import AsyncFeatureClient, Authorization, FeatureClient, Question, Unavailable

_USER = "3413-BMNZE"
_TIMEOUT_S = 20


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def _trusting(authority: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


@asynccontextmanager
async def _behind_tls(gateway: Gateway, authority: trustme.CA) -> AsyncIterator[str]:
    """What an ingress does: take TLS off, and hand the bytes on; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    host, port = gateway.addresses.grpc.split(":")
    connections: set[asyncio.Task[None]] = set()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_gateway, to_gateway = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, to_gateway), _copy(from_gateway, writer))

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(hand_on(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "localhost", 0, ssl=context, family=2)
    async with server:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"
        # Their clients have gone.
        async with asyncio.timeout(_TIMEOUT_S):
            await asyncio.gather(*connections)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


def _heard(feature_server: FakeFeatureServer) -> list[str | None]:
    """Return the Authorization headers of the reads that are made of the feature server from now on."""
    heard: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = answer
    return heard


async def _asks_all_ways(target: str, authorization: Authorization | None) -> None:
    """Five reads one after another, and two descriptions: each kind of call by each face that has it."""
    with FeatureClient(target, timeout_s=_TIMEOUT_S, authorization=authorization) as client:
        await asyncio.to_thread(client.get_user_features, _USER)
        await asyncio.to_thread(client.batch_get_user_features, [_USER])
        await asyncio.to_thread(client.get_feature_service, "churn_v1")
    async with AsyncFeatureClient(target, timeout_s=_TIMEOUT_S, authorization=authorization) as client_async:
        await client_async.get_user_features(_USER)
        await client_async.batch_get_user_features([_USER])
        await client_async.list_feature_services()
        assert [answer.result async for answer in client_async.stream_user_features(_one_question())]


async def _one_question() -> AsyncIterator[Question]:
    yield Question(_USER)


async def test_both_faces_call_over_tls(gateway: Gateway, authority: trustme.CA) -> None:
    async with _behind_tls(gateway, authority) as target:
        with FeatureClient(target, timeout_s=_TIMEOUT_S, credentials=_trusting(authority)) as client:
            features = await asyncio.to_thread(client.get_user_features, _USER)
        async with AsyncFeatureClient(target, timeout_s=_TIMEOUT_S, credentials=_trusting(authority)) as client_async:
            assert await client_async.get_user_features(_USER) == features
            answers = [answer async for answer in client_async.stream_user_features(_one_question())]
    assert features.user_known
    assert [answer.result for answer in answers] == [features]


@pytest.mark.parametrize("credentials", [lambda: None, lambda: _trusting(trustme.CA())], ids=["none", "another's"])
async def test_a_gateway_that_cannot_be_trusted_is_told_nothing(
    gateway: Gateway,
    authority: trustme.CA,
    feature_server: FakeFeatureServer,
    credentials: Callable[[], grpc.ChannelCredentials | None],
) -> None:
    async with (
        _behind_tls(gateway, authority) as target,
        AsyncFeatureClient(target, timeout_s=_TIMEOUT_S, credentials=credentials(), authorization="secret") as client,
    ):
        with pytest.raises(Unavailable) as raised:
            await client.get_user_features(_USER)
    assert "secret" not in str(raised.value)
    assert feature_server.requests == []


async def test_every_kind_of_call_says_who_makes_it(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    heard = _heard(feature_server)
    await _asks_all_ways(gateway.addresses.grpc, "Bearer one")
    await _asks_all_ways(gateway.addresses.grpc, None)
    assert heard == ["Bearer one"] * 5 + [None] * 5


async def test_a_function_is_asked_before_each_call(gateway: Gateway, feature_server: FakeFeatureServer) -> None:
    tokens = (f"Bearer {number}" for number in range(10))
    heard = _heard(feature_server)
    await _asks_all_ways(gateway.addresses.grpc, lambda: next(tokens))
    # Of seven calls, two are for descriptions, which are not read.
    assert heard == ["Bearer 0", "Bearer 1", "Bearer 3", "Bearer 4", "Bearer 6"]


@pytest.mark.parametrize("value", ["", "Bearer a\nb", "Bearer ü"])
async def test_what_is_no_header_is_refused_and_not_shown(gateway: Gateway, value: str) -> None:
    for client in (FeatureClient, AsyncFeatureClient):
        with pytest.raises(ValueError, match="the authorization is") as raised:
            client(authorization=value)
        assert not value or value not in str(raised.value)
    async with AsyncFeatureClient(gateway.addresses.grpc, authorization=lambda: value) as renewed:
        with pytest.raises(ValueError, match="the authorization is"):
            await renewed.get_user_features(_USER)
        with pytest.raises(ValueError, match="the authorization is"):
            await anext(renewed.stream_user_features(_one_question()))
