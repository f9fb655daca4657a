"""Reflection is what common tools accept: v1 and v1alpha, and methods as symbols."""

from typing import Any

import pytest
from gateway_fakes import Gateway, health_becomes
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

_OURS = "streamflow.features.v1.UserFeatureService"
_FEASTS = "feast.serving.ServingService"
_SERVICES = [
    _FEASTS,
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    _OURS,
]


@pytest.fixture(params=["v1", "v1alpha"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _ask(gateway: Gateway, version: str, request: ServerReflectionRequest) -> ServerReflectionResponse:
    method: Any = gateway.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    (answer,) = [answer async for answer in method(iter([request]), timeout=5)]
    assert isinstance(answer, ServerReflectionResponse)
    return answer


async def _files(gateway: Gateway, version: str, symbol: str) -> dict[str, FileDescriptorProto]:
    answer = await _ask(gateway, version, ServerReflectionRequest(file_containing_symbol=symbol))
    files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {file.name: file for file in files}


async def test_every_service_is_listed(gateway: Gateway, version: str) -> None:
    answer = await _ask(gateway, version, ServerReflectionRequest(list_services=""))
    assert [service.name for service in answer.list_services_response.service] == _SERVICES


@pytest.mark.parametrize("service", _SERVICES)
async def test_every_service_is_described_with_all_that_its_file_imports(
    gateway: Gateway, version: str, service: str
) -> None:
    files = await _files(gateway, version, service)
    package, _, name = service.rpartition(".")
    (described,) = [file for file in files.values() if file.package == package and file.service]
    assert [one.name for one in described.service] == [name]
    assert all(dependency in files for file in files.values() for dependency in file.dependency)


@pytest.mark.parametrize("service", _SERVICES)
async def test_health_knows_every_service(gateway: Gateway, service: str) -> None:
    await health_becomes(gateway.channel, "SERVING", service)


@pytest.mark.parametrize(
    "symbol",
    [
        f"{_OURS}.GetUserFeatures",
        f"{_FEASTS}.GetOnlineFeatures",
        "feast.types.Value",
        "grpc.health.v1.Health.Watch",
        "streamflow.features.v1.UserFeatures",
        "streamflow.features.v1.UserFeatures.user_id",
        "streamflow.features.v1.FEATURE_STATUS_PRESENT",
    ],
)
async def test_a_symbol_is_a_method_a_message_a_field_or_a_value(gateway: Gateway, version: str, symbol: str) -> None:
    assert await _files(gateway, version, symbol)


@pytest.mark.parametrize("symbol", ["", ".", "nothing", f"{_OURS}.GetNothing", "streamflow.features.v1.Nothing.Get"])
async def test_an_unknown_symbol_is_not_found(gateway: Gateway, version: str, symbol: str) -> None:
    answer = await _ask(gateway, version, ServerReflectionRequest(file_containing_symbol=symbol))
    assert answer.error_response.error_code == 5


async def test_the_two_versions_differ_in_their_names_alone(gateway: Gateway) -> None:
    (old,) = (await _files(gateway, "v1", "grpc.reflection.v1alpha.ServerReflection")).values()
    (new,) = (await _files(gateway, "v1", "grpc.reflection.v1.ServerReflection")).values()
    old.ClearField("options")
    old.name = new.name
    assert str(new) == str(old).replace("v1alpha", "v1")
