"""Protobuf's wire format, as far as values and replies are written and checked without messages; pure."""

from collections.abc import Callable

WireType = int
VARINT: WireType = 0
FIXED64: WireType = 1
DELIMITED: WireType = 2
FIXED32: WireType = 5

_LOW_BITS, _MORE = 0x7F, 0x80
_MAX_VARINT_BYTES = 10
_MAX_REMEMBERED = 4096


def varint(number: int) -> bytes:
    """Return an integer of at most 64 bits as a varint; a negative one as its two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while number > _LOW_BITS:
        encoded.append(number & _LOW_BITS | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def tag(field: int, wire_type: WireType) -> bytes:
    """Return what stands ahead of a field's content."""
    return varint(field << 3 | wire_type)


class _ByNumber(dict[int, bytes]):
    """The bytes of each number: those of small numbers are kept, and found as fast as a dict finds."""

    def __init__(self, encode: Callable[[int], bytes]) -> None:
        super().__init__((number, encode(number)) for number in range(_MAX_REMEMBERED))
        self._encode = encode

    def __missing__(self, number: int) -> bytes:
        return self._encode(number)


LENGTHS = _ByNumber(varint)
"""The varint of each length."""


def heads(field: int) -> _ByNumber:
    """Return what stands ahead of a delimited field's content, by the length of the content."""
    before = tag(field, DELIMITED)
    return _ByNumber(lambda length: before + varint(length))


def field_of(field: int, content: bytes) -> bytes:
    """Return a delimited field: a text, bytes or a message."""
    return tag(field, DELIMITED) + varint(len(content)) + content


def number_at(encoded: bytes, start: int) -> int | None:
    """Return the number, from 0 to below 2**64, whose varint fills `encoded` from `start` on; None for other bytes."""
    last = len(encoded) - 1
    if (
        not start <= last < start + _MAX_VARINT_BYTES
        or encoded[last] >= _MORE
        or min(encoded[start:last], default=_MORE) < _MORE
    ):
        return None
    number = 0
    for byte in reversed(encoded[start:]):
        number = number << 7 | byte & _LOW_BITS
    return number if number < 1 << 64 else None


def signed(number: int) -> int:
    """Return what a varint of an integer from -2**63 to below 2**63 says."""
    return number - (1 << 64) if number >= 1 << 63 else number
