"""Feast's own API, in a descriptor pool apart: a process can have Feast's own generated code as well."""

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.timestamp_pb2 import DESCRIPTOR as _TIMESTAMP

POOL = DescriptorPool()
"""The pool of these messages, and of what they import."""

POOL.AddSerializedFile(_TIMESTAMP.serialized_pb)
