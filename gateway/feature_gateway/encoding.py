"""Makes encoded values of JSON of `feast serve` that is not null; pure.

An encoder raises TypeError or ValueError for a value of another type. The exception's text is without the value, which
is for its user alone. `tag` is what stands ahead of the value in a feast.types.Value.
"""

import base64
import math
from collections.abc import Callable
from functools import lru_cache
from operator import countOf
from struct import Struct
from typing import Any

from feature_gateway.values import EncodedValue
from feature_gateway.wire import LENGTHS, varint

Encoder = Callable[[Any], EncodedValue]
"""None is a null that JSON has a value for."""

NS_PER_S = 1_000_000_000
# Beyond it a time in nanoseconds does not fit into 64 bits, of which the API's clients have no more.
MAX_TIMESTAMP_S = 2**63 // NS_PER_S
NULL_TIMESTAMP_S = -(2**63)
"""How Feast stores a null UnixTimestamp, alone and in a list: NumPy's NaT."""

# Feast's names, and protobuf's, for what JSON has no number for.
_FLOATS_BY_NAME = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_REMEMBERED = 4096


def bool_encoder(tag: bytes) -> Encoder:
    """Return what encodes a Bool."""
    encoded = tag + b"\x00", tag + b"\x01"
    return lambda value: encoded[_bool(value)]


def int_encoder(limit: int) -> Callable[[bytes], Encoder]:
    """Return what makes an encoder of integers from -limit to below limit."""
    whole = _int(limit)

    def encoder(tag: bytes) -> Encoder:
        # Typed: True is equal to 1, and another value.
        @lru_cache(maxsize=_MAX_REMEMBERED, typed=True)
        def encode(value: Any) -> bytes:
            return tag + varint(whole(value))

        return encode

    return encoder


def float_encoder(form: str) -> Callable[[bytes], Encoder]:
    """Return what makes an encoder of numbers in a form of `struct`."""
    pack = Struct(form).pack

    def encoder(tag: bytes) -> Encoder:
        def encode(value: Any) -> bytes:
            number = _float(value)
            try:
                return tag + pack(number)
            except OverflowError:
                return tag + pack(math.copysign(math.inf, number))

        return encode

    return encoder


def text_encoder(tag: bytes) -> Encoder:
    """Return what encodes a String."""

    def encode(value: Any) -> bytes:
        content = _text(value).encode()
        return tag + LENGTHS[len(content)] + content

    return encode


def bytes_encoder(tag: bytes) -> Encoder:
    """Return what encodes a Bytes."""

    def encode(value: Any) -> bytes:
        content = _bytes(value)
        return tag + LENGTHS[len(content)] + content

    return encode


def timestamp_encoder(tag: bytes) -> Encoder:
    """Return what encodes a UnixTimestamp, in seconds."""
    return lambda value: None if value == NULL_TIMESTAMP_S else tag + varint(_seconds(value))


@lru_cache(maxsize=_MAX_REMEMBERED)
def timestamp_message(stamp_ns: int) -> bytes:
    """Return nanoseconds since 1970, UTC, as a google.protobuf.Timestamp."""
    seconds, nanos = divmod(stamp_ns, NS_PER_S)
    return (b"\x08" + varint(seconds) if seconds else b"") + (b"\x10" + varint(nanos) if nanos else b"")


def list_encoder(message: Callable[..., Any], element: Callable[[Any], Any]) -> Callable[[bytes], Encoder]:
    """Return what makes an encoder of a list message, each of whose elements `element` returns or refuses."""
    all_typed = _ALL_TYPED.get(element)

    def encoder(tag: bytes) -> Encoder:
        def encode(value: Any) -> bytes:
            if type(value) is not list:
                raise TypeError(f"got {type(value).__name__}")
            # All at once where that is enough: to look at 768 floats one by one takes ten times as long.
            elements = value if all_typed and all_typed(value) else [*map(element, value)]
            content: bytes = message(val=elements).SerializeToString()
            return tag + LENGTHS[len(content)] + content

        return encode

    return encoder


def _bool(value: Any) -> bool:
    if value is not True and value is not False:
        raise TypeError(f"got {type(value).__name__}")
    return value


def _int(limit: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if type(value) is not int or not -limit <= value < limit:
            raise TypeError(f"got {type(value).__name__}")
        return value

    return whole


def _float(value: Any) -> float:
    if isinstance(value, str) and value in _FLOATS_BY_NAME:
        return _FLOATS_BY_NAME[value]
    if type(value) not in {int, float}:
        raise TypeError(f"got {type(value).__name__}")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}")
    return value


def _bytes(value: Any) -> bytes:
    return base64.b64decode(_text(value), validate=True)


_seconds = _int(MAX_TIMESTAMP_S)


def _timestamp(value: Any) -> int:
    return NULL_TIMESTAMP_S if value == NULL_TIMESTAMP_S else _seconds(value)


def _all_of(kind: type) -> Callable[[list[Any]], bool]:
    return lambda elements: countOf(map(type, elements), kind) == len(elements)


BOOL, INT32, INT64, FLOAT, TEXT, BYTES, TIMESTAMP = _bool, _int(2**31), _int(2**63), _float, _text, _bytes, _timestamp
"""What makes an element of each type of list."""

_ALL_TYPED: dict[Callable[[Any], Any], Callable[[list[Any]], bool]] = {
    BOOL: _all_of(bool),
    # The message refuses what is out of range.
    INT32: _all_of(int),
    INT64: _all_of(int),
    FLOAT: _all_of(float),
    TEXT: _all_of(str),
}
