"""What the bytes of many users' features have in common, and where their values are."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.feature_pb2 import Feature

from streamflow_features._columns import Column
from streamflow_features._features import FeatureStatus, statuses_of
from streamflow_features._values import CONVERSIONS, Value
from streamflow_features._varints import int32_of, int64_of, mask_of, size_of_first, varint

_FEATURE, _EVENT_TIMESTAMP = b"\x12", b"\x1a"
_USER_KNOWN = b"\x18\x01"
_SCALARS = {
    FieldDescriptor.TYPE_BOOL: "?",
    FieldDescriptor.TYPE_FLOAT: "f",
    FieldDescriptor.TYPE_DOUBLE: "d",
}
_INTS = {FieldDescriptor.TYPE_INT32: int32_of, FieldDescriptor.TYPE_INT64: int64_of}

_Convert = Callable[[Any], Value]


@dataclass(frozen=True, slots=True)
class Shape:
    """What features of users have in common whose values have the same sizes: all but values and event timestamps."""

    mask: int
    """The bits that are in common, as a little-endian number."""

    common: int
    """The number itself, where the bits are in common."""

    stored: Callable[[bytes], Sequence[Any]]
    """Returns the values, some of them as bytes."""

    conversions: Sequence[tuple[int, _Convert]]
    """The positions of those that are bytes, and what makes Python values of them."""

    names: Sequence[str]
    statuses: Column[FeatureStatus]
    user_known: bool

    features: Sequence[Feature]
    """The features from which the shape was learned. Those of other users have the same types."""

    def values(self, features: bytes) -> dict[str, Value]:
        """Return the values of features of this shape. Raises UnicodeDecodeError and DecodeError."""
        values = self.stored(features)
        if self.conversions:
            values = [*values]
            for position, convert in self.conversions:
                values[position] = convert(values[position])
        return dict(zip(self.names, values, strict=True))


class _Part(NamedTuple):
    """Bytes that follow each other."""

    data: bytes
    mask: bytes
    """The bits that are the same for other users."""
    layout: str
    """How `struct` reads the bytes."""
    convert: _Convert | None = None


def shape_of(user: feature_pb2.UserFeatures, features: bytes) -> Shape | None:
    """Return the shape of a user's features, which are a UserFeatures without the user id.

    None when the bytes are not as servers usually write them: then other bytes can mean the same.
    """
    parts = [part for feature in user.features for part in _parts_of(feature)]
    parts.append(_fixed(_USER_KNOWN if user.user_known else b""))
    if b"".join(part.data for part in parts) != features:
        return None
    mask = int.from_bytes(b"".join(part.mask for part in parts), "little")
    values = [part.convert for part in parts if not part.layout.endswith("x")]
    return Shape(
        mask,
        int.from_bytes(features, "little") & mask,
        struct.Struct("<" + "".join(part.layout for part in parts)).unpack,
        [(position, convert) for position, convert in enumerate(values) if convert is not None],
        tuple(feature.name for feature in user.features),
        Column.of(statuses_of(user.features)),
        user.user_known,
        user.features,
    )


def _parts_of(feature: Feature) -> Iterator[_Part]:
    """Yield the parts of a Feature without fields that are newer than this client; one of them is the value."""
    before = Feature(name=feature.name, status=feature.status).SerializeToString()
    stamp = b""
    if feature.HasField("event_timestamp"):
        stamp = _known(feature.event_timestamp)
        before += _EVENT_TIMESTAMP + varint(len(stamp))
    field = feature.WhichOneof("value")
    value: Any = None if field is None else getattr(feature, field)
    encoded = b"" if field is None else Feature(**{field: value}).SerializeToString()
    yield _fixed(_FEATURE + varint(len(before) + len(stamp) + len(encoded)) + before)
    while stamp:
        end = 1 + size_of_first(stamp[1:])
        yield _fixed(stamp[:1])
        yield _Part(stamp[1:end], mask_of(end - 1), f"{end - 1}x")
        stamp = stamp[end:]
    if field is None:
        yield _Part(b"", b"", "0s", lambda _: None)
        return
    tag = size_of_first(encoded)
    yield _fixed(encoded[:tag])
    yield from _value_parts(field, encoded[tag:], value)


def _value_parts(field: str, encoded: bytes, value: Any) -> Iterator[_Part]:
    kind, size = Feature.DESCRIPTOR.fields_by_name[field].type, len(encoded)
    if kind in _INTS:
        # The number of a varint of one byte is the byte.
        yield (
            _Part(encoded, mask_of(size), "B") if size == 1 else _Part(encoded, mask_of(size), f"{size}s", _INTS[kind])
        )
    elif kind in _SCALARS:
        yield _Part(encoded, mask_of(1) if kind == FieldDescriptor.TYPE_BOOL else bytes(size), _SCALARS[kind])
    else:
        length = size_of_first(encoded)
        yield _fixed(encoded[:length])
        convert: _Convert | None = None
        if kind == FieldDescriptor.TYPE_STRING:
            convert = bytes.decode
        elif kind == FieldDescriptor.TYPE_MESSAGE:
            convert = partial(_of_message, type(value).FromString, CONVERSIONS[field])
        yield _Part(encoded[length:], bytes(size - length), f"{size - length}s", convert)


def _of_message(parse: Callable[[bytes], Any], convert: _Convert, encoded: bytes) -> Value:
    return convert(parse(encoded))


def _known(stamp: Timestamp) -> bytes:
    return Timestamp(seconds=stamp.seconds, nanos=stamp.nanos).SerializeToString()


def _fixed(data: bytes) -> _Part:
    return _Part(data, b"\xff" * len(data), f"{len(data)}x")
