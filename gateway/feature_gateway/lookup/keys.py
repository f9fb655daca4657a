"""Makes keys of a caller's columns, and refuses values that are not of their column's type; pure.

A feature server types a column by its first value. Values of different types in one column would change each other, so
each value gets the type of its column here: an Int64 column takes no True, and a Float64 column makes 1 a 1.0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.clipping import listed
from feature_gateway.contract.columns import Column, ColumnKind, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.dtypes import INT_LIMITS
from feature_gateway.errors import GatewayError

_MAX_FLOAT32 = 3.4028234663852886e38
_JOIN_KEY = ColumnKind.JOIN_KEY
_PLACES = {ColumnKind.JOIN_KEY: "entities", ColumnKind.REQUEST_DATA: "request_context"}
"""The request field of each kind's columns, in Feast's API."""


def keys_of(
    columns: Mapping[str, Sequence[Any]],
    feature_set: FeatureSet,
    *,
    max_rows: int,
    max_key_bytes: int,
    request_names: frozenset[str],
) -> list[RowKey]:
    """Return the key of each row of a caller's columns, which have Python values by name.

    `max_key_bytes` bounds the texts of join keys, in bytes of UTF-8. `request_names` are those of all request data of
    the contract. Raises GatewayError, which names a column and says what it takes.
    """
    _check_columns(columns, feature_set, request_names)
    _check_count(columns, max_rows)
    typed = [
        [checked(value, column, position, max_key_bytes=max_key_bytes) for position, value in enumerate(values)]
        for column, values in ((column, columns[column.name]) for column in feature_set.columns)
    ]
    return list(zip(*typed, strict=True))


def checked(value: Any, column: Column, position: int | None, *, max_key_bytes: int) -> Any:
    """Return a value as one of its column's type; raise GatewayError for a value that the column does not take.

    `position` is its row's; None for the request data of a method for users.
    """
    try:
        typed = _TYPES[column.dtype][1](value)
    except (TypeError, ValueError, OverflowError):
        pass
    else:
        if column.kind is not _JOIN_KEY or type(typed) is not str or _is_key(typed, column, max_key_bytes):
            return typed
    if position is None:
        raise invalid(
            column, "the request has another value", field=f"request_data.{column.name}", max_key_bytes=max_key_bytes
        )
    raise invalid(
        column,
        f"row {position} has another value",
        field=f"{_PLACES[column.kind]}.{column.name}[{position}]",
        max_key_bytes=max_key_bytes,
    )


def invalid(column: Column, why: str, *, field: str, max_key_bytes: int) -> GatewayError:
    """Return the error of a value that a column does not take; `field` is its place in the request."""
    is_key = column.kind is _JOIN_KEY
    takes = takes_of(column, max_key_bytes=max_key_bytes)
    return GatewayError(
        ErrorReason.ERROR_REASON_ENTITY_KEY_INVALID if is_key else ErrorReason.ERROR_REASON_REQUEST_DATA_INVALID,
        f"The {column.kind.value} {column.name} takes {takes}; {why}.",
        field=field,
        metadata={"join_key" if is_key else "name": column.name, "takes": takes},
    )


def _is_key(text: str, column: Column, max_key_bytes: int) -> bool:
    pattern = column.pattern
    return len(text.encode()) <= max_key_bytes and (pattern is None or pattern.fullmatch(text) is not None)


def takes_of(column: Column, *, max_key_bytes: int) -> str:
    """Return what a column takes, as an error says it."""
    takes = f"{column.dtype}, {_TYPES[column.dtype][0]}"
    if column.kind is _JOIN_KEY and column.dtype == "String":
        takes += f" of at most {max_key_bytes} bytes"
        takes += f", of the form {column.pattern.pattern}" if column.pattern is not None else ""
    return takes


def missing(column: Column, *, takes: str, place: str = "") -> GatewayError:
    """Return the error of a column that was not given; `place` is the request's field for it, if not Feast's."""
    is_key = column.kind is _JOIN_KEY
    return GatewayError(
        ErrorReason.ERROR_REASON_ENTITY_KEY_MISSING if is_key else ErrorReason.ERROR_REASON_REQUEST_DATA_MISSING,
        f"The {column.kind.value} {column.name} is missing; it takes {takes}.",
        field=f"{place or _PLACES[column.kind]}.{column.name}",
        metadata={"join_key" if is_key else "name": column.name, "takes": takes},
    )


def unknown(name: str, feature_set: FeatureSet, *, is_request_data: bool, place: str = "") -> GatewayError:
    """Return the error of a column that the features do not depend on; `place` as in `missing`."""
    kind = ColumnKind.REQUEST_DATA if is_request_data else _JOIN_KEY
    needed = [column.name for column in feature_set.columns]
    shown = name if len(name) <= _MAX_SHOWN else name[:_MAX_SHOWN] + "…"
    return GatewayError(
        ErrorReason.ERROR_REASON_REQUEST_DATA_UNKNOWN
        if is_request_data
        else ErrorReason.ERROR_REASON_ENTITY_KEY_UNKNOWN,
        f"These features do not depend on the {kind.value} {shown!r}; they depend on {listed(needed)}.",
        field=f"{place or _PLACES[kind]}.{shown}",
        metadata={"name" if is_request_data else "join_key": shown},
    )


def _check_columns(
    columns: Mapping[str, Sequence[Any]], feature_set: FeatureSet, request_names: frozenset[str]
) -> None:
    for column in feature_set.columns:
        if column.name not in columns:
            raise missing(column, takes=f"{column.dtype}, {_TYPES[column.dtype][0]}")
    if len(columns) > len(feature_set.columns):
        needed = {column.name for column in feature_set.columns}
        name = next(name for name in columns if name not in needed)
        raise unknown(name, feature_set, is_request_data=name in request_names)


def _check_count(columns: Mapping[str, Sequence[Any]], max_rows: int) -> None:
    counts = {name: len(values) for name, values in columns.items()}
    most = max(counts.values())
    if most > max_rows:
        raise GatewayError(
            ErrorReason.ERROR_REASON_ROWS_TOO_MANY,
            f"There are {most} rows, and a call takes {max_rows}; send several calls.",
            field="entities",
            metadata={"max_rows": str(max_rows)},
        )
    if min(counts.values()) != most:
        raise GatewayError(
            ErrorReason.ERROR_REASON_COLUMNS_RAGGED,
            "Each column needs one value for each row; there are "
            + listed([f"{count} of {name}" for name, count in counts.items()])
            + ".",
            field="entities",
        )
    if most == 0:
        raise GatewayError(
            ErrorReason.ERROR_REASON_ROWS_EMPTY,
            "There are no rows; give one value or more for each column.",
            field="entities",
        )


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(value)
    # Not every text of Python is one of UTF-8.
    value.encode()
    return value


def _whole(value: Any, *, limit: int) -> int:
    if type(value) is not int or not -limit <= value < limit:
        raise TypeError(value)
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(value)
    return value


def _number(value: Any, *, largest: float = math.inf) -> float:
    if type(value) not in {int, float}:
        raise TypeError(value)
    number = float(value)
    if not math.isfinite(number) or abs(number) > largest:
        raise ValueError(value)
    # -0.0 equals 0.0, and equal keys share a row; so that they are the same, too, it is 0.0.
    return number + 0.0


def _list(value: Any, *, element: Callable[[Any], Any]) -> tuple[Any, ...]:
    # Feast finds a list's type by its elements.
    if not isinstance(value, list | tuple) or not value:
        raise TypeError(value)
    return tuple(map(element, value))


_SCALARS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Bool": ("true or false", _truth),
    **{
        name: (f"a whole number from {-limit} to {limit - 1}", partial(_whole, limit=limit))
        for name, limit in INT_LIMITS.items()
    },
    "Float32": ("a finite number", partial(_number, largest=_MAX_FLOAT32)),
    "Float64": ("a finite number", _number),
    "String": ("a text", _text),
}
_TYPES = _SCALARS | {
    f"List({name})": (f"one or more elements, each {takes}", partial(_list, element=convert))
    for name, (takes, convert) in _SCALARS.items()
}
"""What each type takes, in words, and what makes a value of it or raises."""

_MAX_SHOWN = 100
