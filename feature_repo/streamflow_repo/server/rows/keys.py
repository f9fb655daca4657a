"""The names of the hashes in Redis: Feast's `serialize_entity_key` of a row's join keys, made in one step."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feast import ValueType
from feast.infra.key_encoding_utils import serialize_entity_key_prefix

VERSION = 3
"""The one version of Feast's serialization that is made here; Feast warns of older ones."""

_Encode = Callable[[Any], bytes]

_UINT32 = struct.Struct("<I").pack


class KeyEncoder:
    """Makes the keys of one entity, or of several that name a row together."""

    def __init__(self, join_keys: Sequence[str], types: Mapping[str, ValueType], *, project: str) -> None:
        """Create the encoder of the join keys.

        Raises KeyError for a type that join keys rarely have: only String, Int32 and Int64 are encoded here.
        """
        self._names = sorted(join_keys)
        self._encode = [_ENCODERS[types[name]] for name in self._names]
        self._head = serialize_entity_key_prefix(self._names, entity_key_serialization_version=VERSION)
        self._project = project.encode()

    def keys(self, columns: Mapping[str, Sequence[Any]]) -> list[bytes]:
        """Return the key of each row of the columns, which are of one length.

        Raises KeyError if a join key has no column. Raises TypeError or struct.error for a value that is not of its
        column's type: Feast converts some, and says what is wrong with the others.
        """
        head, project = self._head, self._project
        encoded = [
            [encode(value) for value in columns[name]] for name, encode in zip(self._names, self._encode, strict=True)
        ]
        if len(encoded) == 1:
            return [head + value + project for value in encoded[0]]
        return [head + b"".join(values) + project for values in zip(*encoded, strict=True)]


def _text(value: Any) -> bytes:
    if type(value) is not str:
        raise TypeError
    encoded = value.encode()
    return _STRING + _UINT32(len(encoded)) + encoded


def _integer(value_type: ValueType, form: str) -> _Encode:
    pack = struct.Struct(form).pack
    head = _UINT32(value_type.value) + _UINT32(struct.calcsize(form))

    def encode(value: Any) -> bytes:
        # A bool is an int.
        if type(value) is not int:
            raise TypeError
        return head + pack(value)

    return encode


_STRING = _UINT32(ValueType.STRING.value)
_ENCODERS: dict[ValueType, _Encode] = {
    ValueType.STRING: _text,
    ValueType.INT32: _integer(ValueType.INT32, "<i"),
    ValueType.INT64: _integer(ValueType.INT64, "<q"),
}
