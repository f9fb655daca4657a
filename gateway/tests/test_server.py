"""The server as a process: what it tells of itself, how it starts and how it ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_TIMEOUT_S = 30
_SERVICE = "streamflow.features.v1.UserFeatureService"


async def test_a_client_that_knows_only_reflection_can_call(gateway: Gateway) -> None:
    from google.protobuf.descriptor_pool import DescriptorPool  # noqa: PLC0415  # a pool apart from the generated code's

    def call() -> str:
        with grpc.insecure_channel(gateway.addresses.grpc) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            assert _SERVICE in database.get_services()
            pool = DescriptorPool(database)
            method = pool.FindServiceByName(_SERVICE).FindMethodByName("GetUserFeatures")
            request = GetMessageClass(method.input_type)(user_id="3413-BMNZE")
            method_call: Any = channel.unary_unary(f"/{_SERVICE}/GetUserFeatures")
            raw = method_call(request.SerializeToString(), timeout=5)
            answer: Any = GetMessageClass(method.output_type).FromString(raw)
            return str(answer.user_features.features[3].string_value)

    assert await asyncio.to_thread(call) == "DSL"


@pytest.mark.parametrize("service", ["", _SERVICE])
async def test_health_is_serving_for_the_server_and_its_service(gateway: Gateway, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(gateway.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_process_serves_and_ends_with_0_after_the_calls_in_flight(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    arrived, ending = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await ending.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    async with asyncio.timeout(_TIMEOUT_S), _process(settings) as (process, target):
        async with grpc.aio.insecure_channel(target) as channel:
            call = asyncio.ensure_future(
                UserFeatureServiceStub(channel).GetUserFeatures(
                    GetUserFeaturesRequest(user_id="3413-BMNZE"), timeout=20
                )
            )
            await arrived.wait()
            process.send_signal(signal.SIGTERM)
            assert process.stderr is not None
            await _line_with(process.stderr, "ending")
            ending.set()
            reply = await call
        assert reply.user_features.user_known
        assert await process.wait() == 0


async def test_a_port_in_use_is_named_with_its_variable(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for variable in ("GATEWAY_GRPC_PORT", "GATEWAY_HTTP_PORT"):
            code, errors = await _failed_start(settings, {variable: str(port)})
            assert code == 1
            assert f"127.0.0.1:{port} can't be listened on" in errors
            assert variable in errors
            assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GATEWAY_CONTRACT_PATH", "/nowhere/contract.json", "/nowhere/contract.json can't be read"),
        ("GATEWAY_DEFAULT_FEATURE_SERVICE", "nope", "'nope'; the contract has churn_v1, scores_v1"),
        ("GATEWAY_GRPC_PORT", "x", "GATEWAY_GRPC_PORT is 'x'"),
    ],
)
async def test_a_start_that_cannot_be_says_why_in_one_line(
    settings: Settings, variable: str, value: str, message: str
) -> None:
    code, errors = await _failed_start(settings, {variable: value})
    assert code == 1
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GATEWAY_GRPC_PORT": "0",
        "GATEWAY_HTTP_PORT": "0",
        "GATEWAY_FEATURE_SERVER_URLS": ",".join(settings.feature_server_urls),
        "GATEWAY_CONTRACT_PATH": str(settings.contract_path),
    }


def _command() -> str:
    return str(Path(sys.executable).parent / "feature-gateway")


async def _failed_start(settings: Settings, changes: dict[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        _command(), env={**_environment(settings), **changes}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_TIMEOUT_S):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


@asynccontextmanager
async def _process(settings: Settings) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        _command(), env=_environment(settings), stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        line = await _line_with(process.stderr, "serving gRPC on ")
        yield process, line.split("serving gRPC on ")[1].split()[0]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line_with(stream: asyncio.StreamReader, text: str) -> str:
    while line := (await stream.readline()).decode():
        if text in line:
            return line
    raise AssertionError(f"the process ended without a line with {text!r}")
