"""A gateway on free ports in front of a feature server that answers as a test tells it to."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from feature_gateway.settings import Settings
from gateway_fakes import (
    GRPC_ENGINE,
    FakeFeatureServer,
    Gateway,
    gateway_settings,
    running_feature_server,
    serving,
    written_contract,
)


@pytest.fixture
def contract_path(tmp_path: Path) -> Path:
    return written_contract(tmp_path)


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    async with running_feature_server() as running:
        yield running


@pytest.fixture
def grpc_engine() -> str:
    """The engine of the gateways under test; some folders' tests run with each."""
    return GRPC_ENGINE


@pytest.fixture
def settings(contract_path: Path, feature_server: FakeFeatureServer, grpc_engine: str) -> Settings:
    return replace(gateway_settings(feature_server, contract_path), grpc_engine=grpc_engine)


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with serving(settings) as running:
        yield running
