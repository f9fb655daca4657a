"""Protobuf's varints, of 64 bits at most."""

from functools import lru_cache

_LOW_BITS, _MORE = 0x7F, 0x80
_ALL_BITS, _LONGEST = (1 << 64) - 1, 10
_MAX_REMEMBERED = 4096


@lru_cache(maxsize=_MAX_REMEMBERED)
def varint(number: int) -> bytes:
    """Return a number as a varint."""
    number &= _ALL_BITS
    encoded = bytearray()
    while number > _LOW_BITS:
        encoded.append(number & _LOW_BITS | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def size_of_first(data: bytes) -> int:
    """Return how many bytes the varint has with which `data` begins."""
    return next(at for at, byte in enumerate(data) if byte < _MORE) + 1


def mask_of(size: int) -> bytes:
    """Return the bits that all varints of so many bytes have in common."""
    # The last byte of the longest has but one bit of a number.
    return bytes([_MORE] * size) if size < _LONGEST else bytes([_MORE] * (size - 1) + [0xFF])


@lru_cache(maxsize=_MAX_REMEMBERED)
def int64_of(encoded: bytes) -> int:
    """Return the int64 of a varint."""
    return _signed(encoded, 64)


@lru_cache(maxsize=_MAX_REMEMBERED)
def int32_of(encoded: bytes) -> int:
    """Return the int32 of a varint: its low bits, as protobuf reads one that is too large."""
    return _signed(encoded, 32)


def _signed(encoded: bytes, bits: int) -> int:
    number = 0
    for byte in reversed(encoded):
        number = number << 7 | byte & _LOW_BITS
    low = number & (1 << bits) - 1
    return low - (1 << bits) if low >> bits - 1 else low
