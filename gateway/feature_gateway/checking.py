"""Says whether bytes of an online store are a value of a type; pure.

A check returns whether bytes are a feast.types.Value of one field that every parser of protobuf takes. `tag` is what
stands ahead of the value there.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError

from feature_gateway.encoding import MAX_TIMESTAMP_S, NULL_TIMESTAMP_S
from feature_gateway.wire import LENGTHS, number_at, signed

Check = Callable[[bytes], bool]
ColumnCheck = Callable[[Sequence[bytes]], bool]
"""Returns whether all of several values are of the type."""

# Five bytes of a length are 32 GiB.
_MAX_LENGTH_BYTES = 5
_MAX_REMEMBERED = 8192


def int_check(low: int, high: int) -> Callable[[bytes], Check]:
    """Return what makes a check of integers from low to below high, and of booleans from 0 to below 2."""

    def check_of(tag: bytes) -> Check:
        @lru_cache(maxsize=_MAX_REMEMBERED)
        def check(value: bytes) -> bool:
            number = number_at(value, 1) if value[:1] == tag else None
            return number is not None and low <= signed(number) < high

        return check

    return check_of


def fixed_check(size: int) -> Callable[[bytes], Check]:
    """Return what makes a check of numbers that have a fixed size in bytes."""

    def check_of(tag: bytes) -> Check:
        (first,), length = tag, size + 1
        return lambda value: len(value) == length and value[0] == first

    return check_of


def fixed_column_check(size: int) -> Callable[[bytes], ColumnCheck]:
    """Return what makes a check of many numbers that have a fixed size in bytes."""

    def check_of(tag: bytes) -> ColumnCheck:
        lengths, length = {size + 1}, size + 1

        # Of values that are as long as this, the tags are as far apart.
        def check(column: Sequence[bytes]) -> bool:
            return {*map(len, column)} == lengths and b"".join(column)[::length] == tag * len(column)

        return check

    return check_of


def column_check(check: Check) -> ColumnCheck:
    """Return a check of many values by the check of one: equal ones are looked at once."""
    return lambda column: all(map(check, {*column}))


def text_check(tag: bytes) -> Check:
    """Return a check of String."""

    def check(value: bytes) -> bool:
        content = _content(value, tag)
        return content is not None and _is_utf8(content)

    return check


def bytes_check(tag: bytes) -> Check:
    """Return a check of Bytes."""
    return lambda value: _content(value, tag) is not None


def list_check(message: Any, *, times: bool = False) -> Callable[[bytes], Check]:
    """Return what makes a check of a list message; `times` if its elements are UnixTimestamp."""

    def check_of(tag: bytes) -> Check:
        def check(value: bytes) -> bool:
            content = _content(value, tag)
            if content is None:
                return False
            try:
                elements: Sequence[int] = message.FromString(content).val
            except DecodeError:
                return False
            return not times or all(map(_is_time, elements))

        return check

    return check_of


def _is_time(seconds: int) -> bool:
    return -MAX_TIMESTAMP_S <= seconds < MAX_TIMESTAMP_S or seconds == NULL_TIMESTAMP_S


def _is_utf8(content: bytes) -> bool:
    if content.isascii():
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content(value: bytes, tag: bytes) -> bytes | None:
    """Return the content of the one delimited field that a value is; None if it is not that."""
    start = len(tag)
    if value[:start] != tag:
        return None
    for begin in range(start + 1, min(start + _MAX_LENGTH_BYTES, len(value)) + 1):
        if value[start:begin] == LENGTHS[len(value) - begin]:
            return value[begin:]
    return None
