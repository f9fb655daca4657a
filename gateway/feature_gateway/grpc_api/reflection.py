"""Serves gRPC's reflection, so that tools can call a server without its proto files.

grpcio has only v1alpha of the reflection service. v1 is the same service under another name.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from feature_gateway.grpc_api.guard import Guard

# The types of the descriptors of grpcio's packages are private.
_V1ALPHA: Any = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class _Symbols:
    """The files of some services in a pool of their own, which finds what a reflection servicer asks for."""

    def __init__(self, files: Iterable[FileDescriptor]) -> None:
        self._pool = DescriptorPool()
        self._names: set[str] = set()
        for file in files:
            self._add(file)

    def _add(self, file: FileDescriptor) -> None:
        if file.name not in self._names:
            self._names.add(file.name)
            for dependency in file.dependencies:
                self._add(dependency)
            self._pool.AddSerializedFile(file.serialized_pb)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802  # the method's name in protobuf
        """Return the file that defines a symbol; raise KeyError. A pool's own method does not find methods."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


def _v1() -> Any:
    """Return the service `grpc.reflection.v1.ServerReflection`, made from v1alpha."""
    file = FileDescriptorProto()
    _V1ALPHA.file.CopyToProto(file)
    old, new = file.package, "grpc.reflection.v1"
    file.name, file.package = "grpc/reflection/v1/reflection.proto", new
    # The names of v1alpha's modules in Go and Java.
    file.ClearField("options")
    for message in (*file.message_type, *(nested for outer in file.message_type for nested in outer.nested_type)):
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{old}.", f".{new}.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{old}.", f".{new}.")
            method.output_type = method.output_type.replace(f".{old}.", f".{new}.")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{new}.{_V1ALPHA.name}")


_SERVICES = (_v1(), _V1ALPHA)

SERVICES = tuple(service.full_name for service in _SERVICES)
"""The full names of the reflection services."""


def add_reflection(server: grpc.aio.Server, services: Sequence[Any], guard: Guard) -> None:
    """Have a server describe services and the reflection services themselves, to callers that the guard lets in."""
    described = (*services, *_SERVICES)
    symbols: Any = _Symbols(service.file for service in described)
    servicer = reflection.aio.ReflectionServicer([service.full_name for service in described], pool=symbols)
    handler = grpc.stream_stream_rpc_method_handler(
        guard.let_in(servicer.ServerReflectionInfo),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {_V1ALPHA.methods[0].name: handler}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods) for service in SERVICES])
