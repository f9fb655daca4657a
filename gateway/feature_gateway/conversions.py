"""Returns what a Value message holds as protobuf's JSON mapping has it, but Int64 as a number; pure."""

import base64
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from feature_gateway.encoding import NS_PER_S, NULL_TIMESTAMP_S

_NS_PER_US = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(stamp_ns: int) -> str:
    """Return nanoseconds since 1970, UTC, as RFC 3339 with microseconds."""
    moment = _EPOCH + timedelta(microseconds=stamp_ns // _NS_PER_US)
    return moment.isoformat().replace("+00:00", "Z")


def timestamp_json(stamp_s: int) -> str:
    """Return RFC 3339."""
    return rfc3339(stamp_s * NS_PER_S)


def timestamps_json(elements: Sequence[int]) -> list[str | None]:
    """Return RFC 3339 of each element; None for null."""
    return [None if element == NULL_TIMESTAMP_S else timestamp_json(element) for element in elements]


def float_json(value: float) -> float | str:
    """Return a number, or the name of what JSON has no number for."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def floats_json(elements: Sequence[float]) -> list[float | str]:
    """Return numbers, or the names of what JSON has no number for."""
    return [*elements] if all(map(math.isfinite, elements)) else [*map(float_json, elements)]


def bytes_json(value: bytes) -> str:
    """Return base64."""
    return base64.b64encode(value).decode()


def byte_strings_json(elements: Sequence[bytes]) -> list[str]:
    """Return base64 of each element."""
    return [*map(bytes_json, elements)]
