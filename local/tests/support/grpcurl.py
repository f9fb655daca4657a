"""What grpcurl does, where it is not installed."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

_TIMEOUT_S = 20


def grpcurl(words: Sequence[str], target: str) -> dict[str, Any]:
    """Make the call of grpcurl's arguments, but to `target`: it learns the messages by reflection."""
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true")
    parser.add_argument("-cacert")
    parser.add_argument("-H", dest="header")
    parser.add_argument("-d", dest="body", required=True)
    parser.add_argument("address")
    parser.add_argument("method")
    given = parser.parse_args(words)
    assert given.address in {"localhost:50051", "127.0.0.1:50051"}
    service, _, name = given.method.partition("/")
    with _channel(given, target) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        found = pool.FindServiceByName(service).FindMethodByName(name)
        request = json_format.Parse(given.body, GetMessageClass(found.input_type)(), descriptor_pool=pool)
        call: Any = channel.unary_unary(
            f"/{given.method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        return json_format.MessageToDict(call(request, timeout=_TIMEOUT_S), descriptor_pool=pool)


def _channel(given: Namespace, target: str) -> grpc.Channel:
    if given.plaintext:
        return grpc.insecure_channel(target)
    _, bearer, token = given.header.partition("authorization: Bearer ")
    assert bearer, given.header
    shown = grpc.access_token_call_credentials(token)
    tls = grpc.ssl_channel_credentials(Path(given.cacert).read_bytes())
    return grpc.secure_channel(target, grpc.composite_channel_credentials(tls, shown))
