"""TLS of both ports: who may connect, which certificates are shown, and what happens when the files change."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import ClientConnectionError, ClientSession
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from feature_gateway.errors import StartError
from feature_gateway.server import Addresses, running_gateway
from feature_gateway.settings import Settings
from feature_gateway.tls import server_tls
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, StreamUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from tls_files import HOST, Certified, write

_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_TIMEOUT_S = 30
# Otherwise a channel uses the connection of another with the same credentials.
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def server(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "server")


@pytest.fixture
def client(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "client")


@pytest.fixture
def stranger(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "stranger")


@asynccontextmanager
async def _stub(addresses: Addresses, credentials: grpc.ChannelCredentials) -> AsyncIterator[Any]:
    target = f"{HOST}:{addresses.grpc.split(':')[1]}"
    async with grpc.aio.secure_channel(target, credentials, options=_OWN_CONNECTION) as channel:
        yield UserFeatureServiceStub(channel)


async def _over_grpc(addresses: Addresses, credentials: grpc.ChannelCredentials) -> bool:
    """Whether a call over a new connection is answered; it is UNAVAILABLE otherwise."""
    async with _stub(addresses, credentials) as stub:
        try:
            await stub.GetUserFeatures(_REQUEST, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
    return True


async def _over_http(addresses: Addresses, context: ssl.SSLContext) -> bool:
    """Whether a request over a new connection is answered; there is no connection otherwise."""
    url = f"https://{HOST}:{addresses.http.split(':')[1]}/features/3413-BMNZE"
    async with ClientSession() as session:
        try:
            async with session.get(url, ssl=context) as response:
                return response.ok
        except ClientConnectionError:
            return False


async def _answers(addresses: Addresses, by: Certified, client: Certified | None = None) -> tuple[bool, bool]:
    """Whether each port answers a caller that trusts an authority and shows a certificate."""
    return (
        await _over_grpc(addresses, by.channel_credentials(client)),
        await _over_http(addresses, by.context(client)),
    )


async def test_both_ports_have_tls_and_callers_that_trust_another_authority_get_nothing(
    settings: Settings, server: Certified, stranger: Certified
) -> None:
    async with asyncio.timeout(_TIMEOUT_S), running_gateway(server.serves(settings)) as addresses:
        assert await _answers(addresses, server) == (True, True)
        assert await _answers(addresses, stranger) == (False, False)
        for address in (addresses.grpc, addresses.http):
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n")
            assert b"HTTP/1.1 200" not in await reader.read()
            writer.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_is_1_2_at_least(settings: Settings, server: Certified, version: ssl.TLSVersion) -> None:
    context = server.context()
    # The local library would refuse old versions itself.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = version
    async with asyncio.timeout(_TIMEOUT_S), running_gateway(server.serves(settings)) as addresses:
        for address in (addresses.grpc, addresses.http):
            try:
                _, writer = await asyncio.open_connection(*address.split(":"), ssl=context, server_hostname=HOST)
            except (ssl.SSLError, ConnectionError):
                assert version < ssl.TLSVersion.TLSv1_2
            else:
                writer.close()
                assert version >= ssl.TLSVersion.TLSv1_2


async def test_with_an_authority_for_clients_only_its_certificates_get_in(
    settings: Settings, server: Certified, client: Certified, stranger: Certified
) -> None:
    async with asyncio.timeout(_TIMEOUT_S), running_gateway(server.serves(settings, clients=client)) as addresses:
        assert await _answers(addresses, server, client) == (True, True)
        assert await _answers(addresses, server) == (False, False)
        assert await _answers(addresses, server, stranger) == (False, False)


async def test_changed_certificates_are_shown_and_nothing_that_is_open_is_disturbed(
    settings: Settings, server: Certified, stranger: Certified
) -> None:
    async with (
        asyncio.timeout(_TIMEOUT_S),
        running_gateway(server.serves(settings)) as addresses,
        _stub(addresses, server.channel_credentials()) as stub,
    ):
        stream = stub.StreamUserFeatures()
        await stream.write(StreamUserFeaturesRequest(request_id=1, request=_REQUEST))
        await stream.read()
        trusts_old, trusts_new = server.channel_credentials(), stranger.channel_credentials()
        old_context, new_context = server.context(), stranger.context()
        stranger.give_to(server)
        while not await _over_http(addresses, new_context):
            pass
        assert await _over_grpc(addresses, trusts_new)
        assert not await _over_grpc(addresses, trusts_old)
        assert not await _over_http(addresses, old_context)
        await stream.write(StreamUserFeaturesRequest(request_id=2, request=_REQUEST))
        assert (await stream.read()).request_id == 2
        stream.cancel()


async def test_clients_of_an_authority_that_is_taken_out_get_no_new_connection(
    settings: Settings, server: Certified, client: Certified, stranger: Certified
) -> None:
    async with asyncio.timeout(_TIMEOUT_S), running_gateway(server.serves(settings, clients=client)) as addresses:
        before = server.context(client)
        assert await _over_http(addresses, before)
        credentials = server.channel_credentials(client)
        write(client.ca_file, stranger.ca_file.read_bytes())
        # The same context: a session that was begun is not gone on with.
        while await _over_http(addresses, before):
            pass
        assert not await _over_grpc(addresses, credentials)
        assert await _answers(addresses, server, stranger) == (True, True)


async def test_files_that_cannot_be_used_leave_the_old_ones_in_use(
    settings: Settings, server: Certified, stranger: Certified, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(_TIMEOUT_S), running_gateway(server.serves(settings)) as addresses:
        context, credentials = server.context(), server.channel_credentials()
        # The key of another certificate.
        write(server.key_file, stranger.key_file.read_bytes())
        await _says(addresses, context, "gateway_certificates_refused 1.0")
        assert "files refused" in caplog.text
        assert "do not belong together" in caplog.text
        assert await _over_grpc(addresses, credentials)
        server.issue()
        await _says(addresses, context, "gateway_certificates_refused 0.0")


async def _says(addresses: Addresses, context: ssl.SSLContext, line: str) -> None:
    """Return once the metrics have a line."""
    url = f"https://{HOST}:{addresses.http.split(':')[1]}/metrics"
    async with ClientSession() as session:
        while True:
            async with session.get(url, ssl=context) as response:
                if line in await response.text():
                    return


@pytest.mark.parametrize("name", ["cert_file", "key_file", "ca_file"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_files_that_cannot_be_used_keep_a_gateway_from_starting(
    server: Certified, name: str, content: bytes | None
) -> None:
    file: Path = getattr(server, name)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(StartError, match=str(file)):
        server_tls(*server.files)


def test_an_encrypted_key_is_an_error_and_its_password_not_asked_for(server: Certified) -> None:
    key = load_pem_private_key(server.key_file.read_bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    server.key_file.write_bytes(encrypted)
    with pytest.raises(StartError, match="are not a PEM certificate and its key"):
        server_tls(*server.files)


async def test_the_native_engine_refuses_tls_at_the_start(settings: Settings, server: Certified) -> None:
    with pytest.raises(StartError, match="native, which has no TLS"):
        async with running_gateway(replace(server.serves(settings), grpc_engine="native")):
            pass


@pytest.mark.slow
async def test_a_connection_that_begins_no_handshake_is_closed(settings: Settings, server: Certified) -> None:
    async with asyncio.timeout(3 * _TIMEOUT_S), running_gateway(server.serves(settings)) as addresses:
        for address in (addresses.grpc, addresses.http):
            reader, writer = await asyncio.open_connection(*address.split(":"))
            assert await reader.read() == b""
            writer.close()
