"""Which calls are sampled, and which of them are examples of a metric."""

import os

import aiohttp
import pytest
from feature_gateway.settings import Settings
from feature_gateway.tracing.setup import tracing_of
from gateway_fakes import Gateway, serving
from otlp_receiver import Receiver
from traced_gateway import GET, NOT_SAMPLED, PARENT, SAMPLED, TRACE, get


async def test_a_share_of_the_calls_is_sampled_as_opentelemetrys_variables_say(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    for name, text in (receiver.environment | sampler | {"OTEL_SERVICE_NAME": "mine"}).items():
        monkeypatch.setenv(name, text)
    tracing = tracing_of(os.environ)
    assert tracing is not None
    async with serving(settings, tracing=tracing) as gateway:
        for _ in range(200):
            await get(gateway)
        await get(gateway, SAMPLED)
    tracing.close()
    calls = receiver.named(GET)
    # Outside of this range once in 10^12 runs.
    assert 50 <= len(calls) <= 150
    assert {call.service for call in calls} == {"mine"}
    own = [int(call.trace_id[16:], 16) for call in calls if call.trace_id != TRACE]
    assert len(own) == len({*own}) == len(calls) - 1
    assert max(own) < 2**63


@pytest.mark.parametrize(
    "sampler", ["always_on", "always_off", "parentbased_always_off", "traceidratio", "parentbased_always_on"]
)
async def test_each_sampler_decides_as_it_does_in_other_programs(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    variables = receiver.environment | {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0"}
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    tracing = tracing_of(os.environ)
    assert tracing is not None
    async with serving(settings, tracing=tracing) as gateway:
        for traceparent in ("", SAMPLED, NOT_SAMPLED):
            await get(gateway, traceparent)
    tracing.close()
    parents = [call.parent_id for call in receiver.named(GET)]
    expected = {
        "always_on": ["", PARENT, PARENT],
        "parentbased_always_on": ["", PARENT],
        "parentbased_always_off": [PARENT],
    }
    assert parents == expected.get(sampler, [])


@pytest.mark.parametrize("grpc_engine", ["grpcio"])
async def test_the_slowest_calls_have_their_traces_as_examples_in_openmetrics(
    gateway: Gateway, receiver: Receiver
) -> None:
    await get(gateway)
    call = receiver.one(GET)
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with (
        aiohttp.ClientSession(headers=accept) as session,
        session.get(f"{gateway.http_url}/metrics") as response,
    ):
        assert response.content_type == "application/openmetrics-text"
        lines = (await response.text()).splitlines()
    assert lines[-1] == "# EOF"
    examples = [line for line in lines if f'# {{trace_id="{call.trace_id}"}}' in line]
    assert [line.partition("{")[0] for line in examples] == ["gateway_call_duration_seconds_bucket"]
