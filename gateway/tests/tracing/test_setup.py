"""Tracing at the start and at the end of a gateway."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import grpc
import pytest
from feature_gateway.errors import StartError
from feature_gateway.settings import Settings
from feature_gateway.tracing.setup import tracing_of
from gateway_process import gateway_process
from metric_samples import BOUND_S, USER
from otlp_receiver import Receiver
from streamflow.features.v1.user_feature_service_pb2 import (
    GetUserFeaturesRequest,
)
from traced_gateway import GET


@pytest.mark.parametrize("grpc_engine", ["grpcio"])
async def test_a_gateway_that_ends_sends_what_it_has(settings: Settings, receiver: Receiver) -> None:
    variables = receiver.environment | {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    async with gateway_process(settings, variables=variables) as process:
        async with grpc.aio.insecure_channel(process.grpc) as channel:
            call: Any = channel.unary_unary(f"/{GET}")
            await call(GetUserFeaturesRequest(user_id=USER).SerializeToString(), timeout=BOUND_S)
        process.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND_S):
            assert await process.process.wait() == 0
    assert receiver.tree(receiver.one(GET).trace_id).count("\n") == 1


@pytest.mark.parametrize("grpc_engine", ["grpcio"])
async def test_a_receiver_that_is_not_there_costs_no_call(settings: Settings) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "1"}
    async with gateway_process(settings, variables=variables) as process:
        async with grpc.aio.insecure_channel(process.grpc) as channel:
            call: Any = channel.unary_unary(f"/{GET}")
            for _ in range(20):
                await call(GetUserFeaturesRequest(user_id=USER).SerializeToString(), timeout=BOUND_S)
        process.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND_S):
            assert await process.process.wait() == 0


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4317"},
    ],
)
def test_without_an_exporter_nothing_of_opentelemetry_is_imported(variables: dict[str, str]) -> None:
    program = """
import os, sys
import feature_gateway.__main__
from feature_gateway.tracing.setup import tracing_of
assert tracing_of(os.environ) is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], env={"PATH": os.environ["PATH"], **variables}, check=True)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "by zipkin, which is not installed"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "install opentelemetry-exporter-otlp-proto-http",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke"},
            "is 'smoke'; it takes grpc or http/protobuf",
        ),
    ],
)
def test_an_exporter_that_can_not_be_used_is_said_at_the_start(variables: dict[str, str], said: str) -> None:
    with pytest.raises(StartError, match=said):
        tracing_of(variables)


def test_a_gateway_without_the_extra_says_which_one_it_needs() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
sys.modules["opentelemetry.propagate"] = None
from feature_gateway.__main__ import main
main([])
"""
    variables = {"PATH": os.environ["PATH"], "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=variables, check=False, capture_output=True, text=True, timeout=BOUND_S
    )
    assert (ended.returncode, ended.stderr) == (
        1,
        "feature-gateway: traces are asked for, which needs OpenTelemetry: install feature-gateway[tracing]\n",
    )
