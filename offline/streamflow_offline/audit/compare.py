"""Whether two cells agree, and in what they don't; pure."""

import math
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from streamflow_offline.audit.cells import OfflineCell, OnlineCell

_INT_LIMITS = {"Int32": 2**31, "Int64": 2**63}


class Kind(StrEnum):
    """A kind of difference; a cell may have several."""

    VALUE = "value"
    """Two values of the feature's type, and not the same."""

    NULL = "null"
    """Null on one side, a value on the other."""

    MISSING_ONLINE = "missing_online"
    """Training has a row of the user that the gateway does not."""

    MISSING_OFFLINE = "missing_offline"
    """The gateway has a row of the user that training does not."""

    ONLINE_OLDER = "online_older"
    """The gateway's row has an older event timestamp than the newest in PostgreSQL."""

    ONLINE_NEWER = "online_newer"
    """The gateway's row has a newer one."""

    TYPE = "type"
    """A value that is not of the feature's type, or that came through a narrower one."""


_NOTHING: frozenset[Kind] = frozenset()


class ComparedCell(NamedTuple):
    """One feature of one user on both sides."""

    offline: OfflineCell

    online: OnlineCell | None
    """None where it was not asked for."""

    kinds: frozenset[Kind]
    """In what the two differ."""


def compared(dtype: str, offline: OfflineCell, online: OnlineCell | None) -> ComparedCell:
    """Return two cells with in what they differ."""
    return ComparedCell(offline, online, _NOTHING if online is None else differences(dtype, offline, online))


def differences(dtype: str, offline: OfflineCell, online: OnlineCell) -> frozenset[Kind]:
    """Return in what two cells of a feature differ; nothing if a model is served what it would have been trained on.

    Floats are compared bit by bit, Float32 after rounding to it; NaN is NaN. A row beyond the view's ttl is to training
    what a value outside the maximum age is to serving: no value.
    """
    if online.wrong_type:
        return frozenset({Kind.TYPE})
    has_row = offline.event_timestamp is not None
    if online.event_timestamp is None:
        return frozenset({Kind.MISSING_ONLINE}) if has_row and not offline.too_old else _NOTHING
    if offline.event_timestamp is None:
        return frozenset({Kind.MISSING_OFFLINE})
    found = _value_differences(dtype, offline.value, online.value)
    if online.event_timestamp < offline.event_timestamp:
        found.add(Kind.ONLINE_OLDER)
    elif online.event_timestamp > offline.event_timestamp:
        found.add(Kind.ONLINE_NEWER)
    return frozenset(found)


def _value_differences(dtype: str, offline: Any, online: Any) -> set[Kind]:
    if offline is None and online is None:
        return set()
    if offline is None or online is None:
        return {Kind.NULL}
    try:
        trained, served = _CANONICAL[dtype](offline), _CANONICAL[dtype](online)
    except (TypeError, OverflowError):
        return {Kind.TYPE}
    if trained == served:
        return set()
    narrower = _NARROWED.get(dtype)
    return {Kind.TYPE} if narrower is not None and narrower(trained) == served else {Kind.VALUE}


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _int(limit: int) -> Callable[[Any], int]:
    def canonical(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError
        if not -limit <= value < limit:
            raise OverflowError
        return value

    return canonical


def _float(code: str) -> Callable[[Any], bytes]:
    def canonical(value: Any) -> bytes:
        # An INT or NUMERIC column may be the source of a Float64 feature: Feast writes it as one.
        if not isinstance(value, float | int | Decimal) or isinstance(value, bool):
            raise TypeError
        number = float(value)
        return struct.pack(code, math.nan if math.isnan(number) else number)

    return canonical


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError
    return value


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        # Feast's PostgreSQL offline store gives UTC without saying so.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise TypeError


_CANONICAL: Mapping[str, Callable[[Any], Any]] = {
    "Bool": _bool,
    **{dtype: _int(limit) for dtype, limit in _INT_LIMITS.items()},
    "Float32": _float(">f"),
    "Float64": _float(">d"),
    "String": _text,
    "Bytes": _bytes,
    "UnixTimestamp": _moment,
}


def _through_float32(trained: bytes) -> bytes | None:
    (number,) = struct.unpack(">d", trained)
    try:
        (rounded,) = struct.unpack(">f", struct.pack(">f", number))
    except OverflowError:
        return None
    return struct.pack(">d", rounded)


def _to_the_second(trained: datetime) -> datetime:
    return trained.replace(microsecond=0)


_NARROWED: Mapping[str, Callable[[Any], Any]] = {"Float64": _through_float32, "UnixTimestamp": _to_the_second}
"""What becomes of a value that is stored as a narrower type on the way."""
