"""A gateway with pages."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from feature_gateway.settings import Settings
from gateway_fakes import Gateway, serving


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, pages=True)


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with serving(settings) as running:
        yield running
