"""One feature of one user, as training and as a model service have it, and whether the two agree; pure."""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from streamflow_features import FeatureStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """A feature of the audited feature service, as it is applied."""

    view: str
    name: str
    dtype: str
    max_age_s: float | None

    @property
    def reference(self) -> str:
        """Feast's feature reference."""
        return f"{self.view}:{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineCell:
    """What training gets."""

    value: Any = None
    """The value of `get_historical_features`; None if the user has no row, if it is null, or if the row is too old."""

    event_timestamp: datetime | None = None
    """The event timestamp of the user's newest row in the view; None without a row."""

    too_old: bool = False
    """Whether this row is older than the view's ttl, so that training does not see it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnlineCell:
    """What a model service gets."""

    value: Any = None
    """The client's value; None also if the value is too old."""

    event_timestamp: datetime | None = None
    """None if the view has no row of the user."""

    status: FeatureStatus | None = None
    """None if the gateway answered with an error."""

    error: str | None = None
    """The gateway's error instead of a value."""

    wrong_type: bool = False
    """Whether the error says that the stored value does not have the contract's type."""


class Kind(StrEnum):
    """A kind of difference; a cell may have several."""

    VALUE = "value"
    """Two different values of the feature's type."""

    NULL = "null"
    """Null on one side, a value on the other."""

    MISSING_ONLINE = "missing_online"
    """Training has a row of the user; the gateway has none."""

    MISSING_OFFLINE = "missing_offline"
    """The gateway has a row of the user; training has none."""

    ONLINE_OLDER = "online_older"
    """The gateway's row has an older event timestamp than the newest row in PostgreSQL."""

    ONLINE_NEWER = "online_newer"
    """The gateway's row has a newer event timestamp than the newest row in PostgreSQL."""

    TYPE = "type"
    """A value does not have the feature's type, or it came through a narrower type."""


_NOTHING: frozenset[Kind] = frozenset()


class ComparedCell(NamedTuple):
    """One feature of one user on both sides."""

    offline: OfflineCell

    online: OnlineCell | None
    """None if the audit gave the feature up before this user."""

    kinds: frozenset[Kind]
    """How the two differ."""


def compared(dtype: str, offline: OfflineCell, online: OnlineCell | None) -> ComparedCell:
    """Return the two cells and how they differ."""
    return ComparedCell(offline, online, _NOTHING if online is None else differences(dtype, offline, online))


def differences(dtype: str, offline: OfflineCell, online: OnlineCell) -> frozenset[Kind]:
    """Return how two cells of a feature differ; nothing if a model is served what it would be trained on.

    Floats are compared bit by bit, Float32 after rounding to it. NaN equals NaN, as does a null in a list of floats,
    because Feast stores it as NaN. Lists are equal if all of their elements are. A row older than the view's ttl counts
    as no value, as does a served value outside the maximum age.
    """
    if online.wrong_type:
        return frozenset({Kind.TYPE})
    has_row = offline.event_timestamp is not None
    if online.event_timestamp is None and has_row:
        return _NOTHING if offline.too_old else frozenset({Kind.MISSING_ONLINE})
    if online.event_timestamp is None:
        # An on-demand feature can have a value that comes from no row.
        return frozenset(_value_differences(dtype, offline.value, online.value))
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


def _exactly(kind: type) -> Callable[[Any], Any]:
    def canonical(value: Any) -> Any:
        # A bool is an int to isinstance.
        if type(value) is not kind:
            raise TypeError
        return value

    return canonical


def _int(limit: int) -> Callable[[Any], Any]:
    exact = _exactly(int)

    def canonical(value: Any) -> Any:
        if not -limit <= exact(value) < limit:
            raise OverflowError
        return value

    return canonical


def _float(code: str) -> Callable[[Any], bytes]:
    def canonical(value: Any) -> bytes:
        # The source of a Float64 feature may be an INT or NUMERIC column: Feast writes its values as floats.
        if not isinstance(value, float | int | Decimal) or isinstance(value, bool):
            raise TypeError
        number = float(value)
        return struct.pack(code, math.nan if math.isnan(number) else number)

    return canonical


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        # Feast's PostgreSQL offline store gives UTC without a time zone.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise TypeError


def _each(of: Callable[[Any], Any], *, null: Any = None) -> Callable[[Any], tuple[Any, ...]]:
    def canonical(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError
        return tuple(null if element is None else of(element) for element in value)

    return canonical


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "Bool": _exactly(bool),
    "Int32": _int(2**31),
    "Int64": _int(2**63),
    "Float32": _float(">f"),
    "Float64": _float(">d"),
    "String": _exactly(str),
    "Bytes": _exactly(bytes),
    "UnixTimestamp": _moment,
}
_NULL_ELEMENTS = {dtype: _SCALARS[dtype](math.nan) for dtype in ("Float32", "Float64")}
_CANONICAL = {
    **_SCALARS,
    **{f"List({dtype})": _each(of, null=_NULL_ELEMENTS.get(dtype)) for dtype, of in _SCALARS.items()},
}


def _through_float32(trained: bytes) -> bytes | None:
    (number,) = struct.unpack(">d", trained)
    try:
        return struct.pack(">d", *struct.unpack(">f", struct.pack(">f", number)))
    except OverflowError:
        return None


_NARROWED_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "Float64": _through_float32,
    "UnixTimestamp": lambda trained: trained.replace(microsecond=0),
}
_NARROWED = {**_NARROWED_SCALARS, **{f"List({dtype})": _each(of) for dtype, of in _NARROWED_SCALARS.items()}}
"""What a value becomes when it is stored as a narrower type on the way."""
