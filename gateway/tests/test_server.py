"""The server as a process: what it tells of itself, how it starts and how it ends."""

import asyncio
import signal
import socket
from dataclasses import fields
from typing import Any

import grpc
import pytest
from aiohttp import web
from feature_gateway.__main__ import main
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, feast_answer, health_becomes
from gateway_process import TIMEOUT_S, command, environment, gateway_process
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

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
    async with asyncio.timeout(TIMEOUT_S):
        await health_becomes(gateway.channel, "SERVING", service)


async def test_the_process_serves_and_ends_with_0_after_the_calls_in_flight(
    settings: Settings, feature_server: FakeFeatureServer
) -> None:
    arrived, ending = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        arrived.set()
        await ending.wait()
        return web.json_response(feast_answer(await request.json()))

    feature_server.answer = slow
    async with asyncio.timeout(TIMEOUT_S), gateway_process(settings) as gateway:
        async with grpc.aio.insecure_channel(gateway.grpc) as channel:
            call = asyncio.ensure_future(
                UserFeatureServiceStub(channel).GetUserFeatures(
                    GetUserFeaturesRequest(user_id="3413-BMNZE"), timeout=20
                )
            )
            await arrived.wait()
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.line_with("ending")
            ending.set()
            reply = await call
        assert reply.user_features.user_known
        assert await gateway.process.wait() == 0


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


async def test_an_argument_is_refused_and_help_lists_every_setting(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    code, errors = await _failed_start(settings, {}, "--port", "1")
    assert (code, "unrecognized arguments: --port 1" in errors) == (2, True)
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert [field.metadata["variable"] for field in fields(Settings) if field.metadata["variable"] not in shown] == []
    assert "GATEWAY_HEDGE                            false\n" in shown


async def _failed_start(settings: Settings, changes: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        command(), *arguments, env={**environment(settings), **changes}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(TIMEOUT_S):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()
