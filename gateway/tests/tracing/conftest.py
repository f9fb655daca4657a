"""A traced gateway with either engine, and the receiver of its traces."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from feature_gateway.settings import Settings
from feature_gateway.tracing.setup import tracing_of
from feature_gateway.tracing.tracer import Tracing
from gateway_fakes import Gateway, serving
from otlp_receiver import Receiver, otlp_receiver


@pytest.fixture(params=["grpcio", "native"])
def grpc_engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture
def tracing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracing]:
    for name, text in receiver.environment.items():
        monkeypatch.setenv(name, text)
    tracing = tracing_of(os.environ)
    assert tracing is not None
    yield tracing
    tracing.close()


@pytest.fixture
async def gateway(settings: Settings, tracing: Tracing) -> AsyncIterator[Gateway]:
    async with serving(settings, tracing=tracing) as running:
        yield running
