"""Calls over TLS, and calls that say who makes them, as both faces of the client make them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from feature_gateway.server import Addresses, running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer
from gateway_pair import Caller, Load, under_load
from streamflow_features import AsyncFeatureClient, Authorization, FeatureClient, Question, Unavailable
from tls_files import HOST, Certified

if TYPE_CHECKING:
    from streamflow_features._connection import ConnectionOptions

_USER = "3413-BMNZE"
_TIMEOUT_S = 20


@pytest.fixture
def server(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "server")


@pytest.fixture
def caller(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "caller")


def _target(addresses: Addresses) -> str:
    return f"{HOST}:{addresses.grpc.split(':')[1]}"


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


async def test_both_faces_call_over_tls_by_files_and_by_credentials(
    settings: Settings, server: Certified, caller: Certified
) -> None:
    by_files: ConnectionOptions = {
        "ca_file": server.ca_file,
        "cert_file": caller.cert_file,
        "key_file": caller.key_file,
    }
    by_credentials: ConnectionOptions = {"credentials": server.channel_credentials(caller)}
    async with running_gateway(server.serves(settings, clients=caller)) as addresses:
        for options in (by_files, by_credentials):
            with FeatureClient(_target(addresses), timeout_s=_TIMEOUT_S, **options) as client:
                features = await asyncio.to_thread(client.get_user_features, _USER)
            async with AsyncFeatureClient(_target(addresses), timeout_s=_TIMEOUT_S, **options) as client_async:
                assert await client_async.get_user_features(_USER) == features
                answers = [answer async for answer in client_async.stream_user_features(_one_question())]
            assert features.user_known
            assert [answer.result for answer in answers] == [features]


async def test_a_client_and_a_gateway_that_do_not_trust_each_other_tell_each_other_nothing(
    settings: Settings, server: Certified, caller: Certified, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    stranger = Certified(tmp_path / "stranger")
    async with running_gateway(server.serves(settings, clients=caller)) as addresses:
        for trusted, shown in ((stranger, caller), (server, None), (server, stranger)):
            async with AsyncFeatureClient(
                _target(addresses),
                timeout_s=_TIMEOUT_S,
                credentials=trusted.channel_credentials(shown),
                authorization="secret",
            ) as client:
                with pytest.raises(Unavailable) as raised:
                    await client.get_user_features(_USER)
            assert "secret" not in str(raised.value)
    assert feature_server.requests == []


async def test_a_certificate_of_another_name_is_refused(settings: Settings, server: Certified) -> None:
    server.issue("gateway.example")
    async with (
        running_gateway(server.serves(settings)) as addresses,
        AsyncFeatureClient(_target(addresses), timeout_s=_TIMEOUT_S, ca_file=server.ca_file) as client,
    ):
        with pytest.raises(Unavailable):
            await client.get_user_features(_USER)


@pytest.mark.parametrize("face", [Load.from_threads, Load.from_tasks])
async def test_certificates_that_change_under_load_cost_no_call(
    settings: Settings, server: Certified, caller: Certified, face: Caller
) -> None:
    # Each connection ends soon after its certificate has.
    settings = replace(server.serves(settings, clients=caller), max_connection_age_s=0.3)
    connection: ConnectionOptions = {"credentials": server.channel_credentials(caller)}
    async with (
        asyncio.timeout(3 * _TIMEOUT_S),
        running_gateway(settings) as addresses,
        under_load(_target(addresses), face, connection=connection) as load,
    ):
        for _ in range(3):
            server.issue()
            shown = await _certificate(addresses, server, caller)
            while shown != PEM_cert_to_DER_cert(server.cert_file.read_text()):
                shown = await _certificate(addresses, server, caller)
            answered = load.answered
            while load.answered < answered + 200:  # noqa: ASYNC110  # within the time limit above
                await asyncio.sleep(0.01)
    assert load.failures == []


async def _certificate(addresses: Addresses, server: Certified, caller: Certified) -> bytes:
    """The certificate that the gRPC port shows now."""
    context = server.context(caller)
    context.set_alpn_protocols(["h2"])
    host, port = addresses.grpc.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=HOST)
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


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
