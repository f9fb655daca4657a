"""A real gateway on free ports, in front of a feature server that answers as a test tells it to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
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
