"""TLS to feature servers: authority and name are checked, whichever address a name stands for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from feature_gateway.settings import Settings
from feature_gateway.tls import upstream_tls
from feature_gateway.upstream.connection import ConnectionFailedError
from feature_gateway.upstream.connections import Connections
from feature_gateway.upstream.origin import Origin
from feature_gateway.upstream.resolver import resolve
from gateway_fakes import FakeFeatureServer, Gateway, running_feature_server, serving
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from tls_files import Certified

_NAME = "feature-server.example"
_REQUEST = GetUserFeaturesRequest(user_id="3413-BMNZE")
_TIMEOUT_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "server")


@pytest.fixture
def own(tmp_path: Path) -> Certified:
    return Certified(tmp_path / "own")


def _by_name(settings: Settings, fake: FakeFeatureServer, **files: Any) -> Settings:
    """Settings of a gateway that reads from every address of localhost."""
    port = fake.url.rsplit(":", 1)[1]
    return replace(settings, feature_server_urls=(f"dns+https://localhost:{port}",), **files)


async def _answered(gateway: Gateway) -> bool:
    try:
        await gateway.stub.GetUserFeatures(_REQUEST, timeout=_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return False
        raise
    return True


async def test_a_gateway_shows_its_certificate_and_reads_over_tls(
    settings: Settings, server: Certified, own: Certified
) -> None:
    tls = server.server_context(clients=own)
    async with asyncio.timeout(_TIMEOUT_S), running_feature_server(tls=tls) as fake:
        files = {
            "feature_server_ca_file": server.ca_file,
            "feature_server_cert_file": own.cert_file,
            "feature_server_key_file": own.key_file,
        }
        async with serving(_by_name(settings, fake, **files)) as gateway:
            assert await _answered(gateway)
        assert len(fake.requests) == 1
        for refused in ({**files, "feature_server_ca_file": own.ca_file}, {"feature_server_ca_file": server.ca_file}):
            async with serving(_by_name(settings, fake, **refused)) as gateway:
                assert not await _answered(gateway)
        assert len(fake.requests) == 1


async def test_a_server_with_a_certificate_of_another_name_is_asked_nothing(
    settings: Settings, server: Certified
) -> None:
    # Of the address that is connected to, which is not what the URL names.
    server.issue("127.0.0.1")
    async with asyncio.timeout(_TIMEOUT_S), running_feature_server(tls=server.server_context()) as fake:
        async with serving(_by_name(settings, fake, feature_server_ca_file=server.ca_file)) as gateway:
            assert not await _answered(gateway)
        assert fake.requests == []


@asynccontextmanager
async def _two_addresses(server: Certified) -> AsyncIterator[list[str]]:
    """The URLs of a name that stands for two feature servers, on one port of two addresses."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_feature_server(tls=server.server_context()))
        port = int(first.url.rsplit(":", 1)[1])
        await stack.enter_async_context(
            running_feature_server(host="127.0.0.2", port=port, tls=server.server_context())
        )

        async def lookup(_host: str, _port: int) -> Sequence[str]:
            return ["127.0.0.1", "127.0.0.2"]

        yield await resolve([f"dns+https://{_NAME}:{port}"], lookup=lookup)


async def _health(connections: Connections, origin: Origin) -> int:
    head = origin.head("GET", "/health")
    status, _ = await connections.ask(origin, lambda connection: connection.request(head, b""))
    return status


async def test_each_address_of_a_name_is_checked_against_the_name(server: Certified) -> None:
    server.issue(_NAME)
    tls = upstream_tls(server.ca_file, None, None)
    async with (
        asyncio.timeout(_TIMEOUT_S),
        _two_addresses(server) as urls,
        Connections(tls=lambda: tls.current) as connections,
    ):
        assert [await _health(connections, Origin(url)) for url in urls] == [200, 200]
        for other in (url.replace(_NAME, "other.example") for url in urls):
            with pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED"):
                await _health(connections, Origin(other))


async def test_changed_files_count_for_new_connections(server: Certified, own: Certified) -> None:
    tls = upstream_tls(server.ca_file, own.cert_file, own.key_file)
    async with (
        asyncio.timeout(_TIMEOUT_S),
        running_feature_server(tls=server.server_context(clients=own)) as fake,
        Connections(tls=lambda: tls.current) as open_before,
    ):
        origin = Origin(fake.url)
        assert await _health(open_before, origin) == 200
        stranger = Certified(own.folder.parent / "stranger")
        stranger.give_to(own)
        tls.check()
        assert await _health(open_before, origin) == 200
        async with Connections(tls=lambda: tls.current) as connections:
            with pytest.raises(ConnectionFailedError):
                await _health(connections, origin)
