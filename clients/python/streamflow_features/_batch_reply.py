"""A batch's reply whose results are still bytes: each caller parses its own, and keeps no other's in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    ServingInfo,
)

_Field = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True)
class BatchReply:
    """A BatchGetUserFeaturesResponse."""

    results: Sequence[bytes]
    """One UserResult for each user, in the order of the request."""
    contract_hash: str
    serving_info: ServingInfo | None


def serialized(request: BatchGetUserFeaturesRequest) -> bytes:
    """Return the bytes of a request."""
    return request.SerializeToString()


def _outer_message() -> type[Any]:
    """Return a message that reads a BatchGetUserFeaturesResponse and leaves the results and the serving_info bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="batch_reply.proto", package="streamflow_features", syntax="proto2")
    message = file.message_type.add(name="BatchReply")
    known = BatchGetUserFeaturesResponse.DESCRIPTOR.fields_by_name
    for name, label, kind in (
        ("results", _Field.LABEL_REPEATED, _Field.TYPE_BYTES),
        ("contract_hash", _Field.LABEL_OPTIONAL, _Field.TYPE_STRING),
        ("serving_info", _Field.LABEL_OPTIONAL, _Field.TYPE_BYTES),
    ):
        message.field.add(name=name, number=known[name].number, label=label, type=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("streamflow_features.BatchReply"))


_OuterMessage = _outer_message()


def parse_batch_reply(reply: bytes) -> BatchReply:
    """Return a serialized BatchGetUserFeaturesResponse. Raises DecodeError."""
    outer = _OuterMessage.FromString(reply)
    info = ServingInfo.FromString(outer.serving_info) if outer.HasField("serving_info") else None
    return BatchReply(list(outer.results), outer.contract_hash, info)
