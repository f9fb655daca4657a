"""A real gateway on free ports, in front of a feature server that answers as a test tells it to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from both_faces import Asker, asking
from feature_gateway.settings import Settings
from gateway_fakes import (
    FakeFeatureServer,
    Gateway,
    gateway_settings,
    health_becomes,
    running_feature_server,
    serving,
    written_contract,
)
from places import asking_at


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    async with running_feature_server() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, feature_server: FakeFeatureServer) -> Settings:
    return gateway_settings(feature_server, written_contract(tmp_path))


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with serving(settings) as running:
        await health_becomes(running.channel, "SERVING")
        yield running


@pytest.fixture(params=["sync", "asyncio"])
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def ask(face: str, gateway: Gateway) -> AsyncIterator[Asker]:
    async with asking(face, gateway.addresses.grpc) as asker:
        yield asker


@pytest.fixture(params=["gateway", "fake"])
async def ask_either(request: pytest.FixtureRequest, face: str, tmp_path: Path) -> AsyncIterator[Asker]:
    """A client of a real gateway, then the fake; both serve the users of `places`."""
    async with asking_at(request.param, face, tmp_path) as asker:
        yield asker
