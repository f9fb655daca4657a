"""Makes rows of what an online store has: encoded event timestamps and values; pure.

The bytes are input. Each value is checked for its type's tag and form, and each timestamp is read, so that a damaged
one is the error of its row, and never part of a reply that callers can't parse.
"""

from collections.abc import Sequence
from functools import lru_cache

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.checking import ColumnCheck
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import DTYPES
from feature_gateway.encoding import NS_PER_S, NULL_TIMESTAMP_S
from feature_gateway.errors import GatewayError, WrongValueError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream.judging import judgement_of, nulls_of
from feature_gateway.values import EncodedValue, Judgement, Row
from feature_gateway.wire import varint

_Cells = Sequence[bytes | None]

# Values that are null: a Value without a field, one with Feast's null_val, and NumPy's NaT.
_NULLS = frozenset((b"", b"\x98\x01\x00"))
_NO_TIME = DTYPES["UnixTimestamp"].tag + varint(NULL_TIMESTAMP_S)
# The seconds of the years 1 to 9999, which a google.protobuf.Timestamp can have.
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
# A month's snapshot gives all rows the same timestamps, so few are in use at a time.
_MAX_REMEMBERED = 4096
_MANY = 4


def rows_of(views: Sequence[str], rows: Sequence[_Cells], feature_set: FeatureSet) -> RowsRead:
    """Return one row for each of `rows`, in their order.

    Each of `rows` has, in the order of `views`, the encoded google.protobuf.Timestamp of each view; then, in the order
    of the feature set's `read_features`, the encoded feast.types.Value of each feature. None is what the store does
    not have. The feature set has no on-demand features.

    A row with a value or a timestamp that can't be read is a WrongValueError instead; if it is the only row, the error
    is raised. Raises GatewayError (UPSTREAM_MISMATCH) if rows are too short or too long, or if a view is missing.
    """
    views = tuple(views)
    checks = _checks(feature_set, views)
    first, width = len(views), len(views) + len(checks)
    if set(map(len, rows)) - {width}:
        raise _mismatch("rows of another length than asked for")
    columns = _columns_of([*zip(*rows, strict=True)][first:], checks) if len(rows) >= _MANY else None
    read = [*zip(*columns, strict=True)] if columns else [_without_nulls(row[first:], feature_set) for row in rows]
    found = [_judged(feature_set, views, tuple(row[:first]), values) for row, values in zip(rows, read, strict=True)]
    if len(found) == 1 and isinstance(found[0], WrongValueError):
        raise found[0]
    return found


@lru_cache(maxsize=_MAX_REMEMBERED)
def _checks(feature_set: FeatureSet, views: tuple[str, ...]) -> tuple[ColumnCheck, ...]:
    """Return what says of each feature whether bytes are values of it."""
    missing = [feature.view for feature in feature_set.read_features if feature.view not in views]
    if missing:
        raise _mismatch(f"no event timestamps of {missing[0]}")
    return tuple(DTYPES[feature.dtype].are_values for feature in feature_set.read_features)


def _columns_of(columns: Sequence[_Cells], checks: Sequence[ColumnCheck]) -> list[_Cells] | None:
    """Return columns with None for what stands for null; None if something there is no value of its feature's type.

    By columns, many rows take half the time, and one takes twice as long.
    """
    read: list[_Cells] = []
    for column, are_values in zip(columns, checks, strict=True):
        cells = column if _NULLS.isdisjoint(column) else [None if value in _NULLS else value for value in column]
        there = [value for value in cells if value is not None] if None in cells else cells
        if there and not are_values(there):  # type: ignore[arg-type]  # no None is there
            return None
        read.append(cells)
    return read


def _without_nulls(values: _Cells, feature_set: FeatureSet) -> tuple[EncodedValue, ...] | WrongValueError:
    """Return a row's values, with None for what stands for null, or the error of a value that is damaged."""
    read: list[EncodedValue] = []
    for feature, value in zip(feature_set.read_features, values, strict=True):
        if value in _NULLS or (value == _NO_TIME and feature.dtype == "UnixTimestamp"):
            read.append(None)
        elif value is None or DTYPES[feature.dtype].is_value(value):
            read.append(value)
        else:
            return _wrong(f"value of {feature.reference} is not {feature.dtype} (got {_type_name(value)})")
    return tuple(read)


def _judged(
    feature_set: FeatureSet,
    views: tuple[str, ...],
    stamps: tuple[bytes | None, ...],
    read: tuple[EncodedValue, ...] | WrongValueError,
) -> Row | WrongValueError:
    if isinstance(read, WrongValueError):
        return read
    judgement = _judgement(feature_set, views, stamps, nulls_of(read))
    if isinstance(judgement, Judgement):
        return Row(read, judgement)
    return _wrong(f"event timestamp of {judgement} is not a time")


@lru_cache(maxsize=_MAX_REMEMBERED)
def _judgement(
    feature_set: FeatureSet, views: tuple[str, ...], stamps: tuple[bytes | None, ...], nulls: tuple[bool, ...]
) -> Judgement | str:
    """Return what is said of rows with these timestamps and nulls; the name of a view whose timestamp is no time."""
    by_view = {}
    for view, stamp in zip(views, stamps, strict=True):
        stamp_ns = _stamp_ns(stamp or b"")
        if stamp_ns is None:
            return view
        by_view[view] = stamp_ns
    return judgement_of(feature_set, tuple(by_view[feature.view] for feature in feature_set.read_features), nulls)


def _stamp_ns(stamp: bytes) -> int | None:
    """Return a google.protobuf.Timestamp in nanoseconds since 1970, UTC; None for bytes that are none."""
    try:
        message = Timestamp.FromString(stamp)
    except DecodeError:
        return None
    in_range = _FIRST_S <= message.seconds <= _LAST_S and 0 <= message.nanos < NS_PER_S
    return message.seconds * NS_PER_S + message.nanos if in_range else None


def _type_name(value: bytes) -> str:
    """Return the name of the type whose tag a value has."""
    names = [dtype.name for dtype in DTYPES.values() if value.startswith(dtype.tag)]
    return names[0] if names and DTYPES[names[0]].is_value(value) else "damaged bytes"


def _wrong(what: str) -> WrongValueError:
    return WrongValueError(f"The feature server's {what}: feature server and gateway are not on the same definitions.")


def _mismatch(what: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, f"The feature server's answer does not have Feast's rows ({what})."
    )
