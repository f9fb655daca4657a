"""Puts Python values into the fields of messages, by Feast's names of types."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from streamflow.features.feast.types.Value_pb2 import Value
from streamflow.features.v1.feature_pb2 import Feature

from streamflow_features._dtypes import DTYPES
from streamflow_features._values import EPOCH

_FIELDS = {dtype: field for field, dtype in DTYPES.items()}
_NULL_TIME_S = -(2**63)
_PYTHON: Mapping[type, str] = {
    bool: "Bool",
    int: "Int64",
    float: "Float64",
    str: "String",
    bytes: "Bytes",
    datetime: "UnixTimestamp",
}


def dtype_of(value: Any) -> str | None:
    """Return the type that a value shows. None for no value and an empty list. Raises TypeError for other types."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        element: str | None = None
        for part in value:
            element = common_dtype(element, dtype_of(part))
        return None if element is None else f"List({element})"
    dtype = next((_PYTHON[kind] for kind in type(value).__mro__ if kind in _PYTHON), None)
    if dtype is None:
        raise TypeError(f"a feature has no values of type {type(value).__name__}")
    return dtype


def common_dtype(one: str | None, other: str | None) -> str | None:
    """Return the type that takes values of both. Raises TypeError if there is none."""
    if one is None or other is None or one == other:
        return one or other
    for wide, narrow in (("Float64", "Int64"), ("List(Float64)", "List(Int64)")):
        if {one, other} == {wide, narrow}:
            return wide
    raise TypeError(f"values of the types {one} and {other} are not of one feature")


def put(message: Feature | Value, dtype: str, value: Any) -> None:
    """Set the value of a Feature, or of a Value of Feast. Raises TypeError or ValueError for one of another type.

    An empty `dtype` is the one that the value shows.
    """
    dtype = dtype or dtype_of(value) or ""
    if value is None or not dtype:
        return
    field = _FIELDS[dtype]
    if isinstance(message, Value):
        field = field.replace("timestamp", "unix_timestamp").removesuffix("ue")
    if dtype.startswith("List("):
        _extend(getattr(message, field), dtype, value)
    elif dtype == "UnixTimestamp" and isinstance(message, Feature):
        message.timestamp_value.seconds = _seconds(value)
    else:
        setattr(message, field, _seconds(value) if dtype == "UnixTimestamp" else value)


def _extend(message: Any, dtype: str, values: Any) -> None:
    if isinstance(values, str | bytes):
        raise TypeError(f"{type(values).__name__} is not a list")
    message.SetInParent()
    message.val.extend(map(_seconds, values) if dtype == "List(UnixTimestamp)" else values)


def _seconds(value: datetime | None) -> int:
    # As Feast stores times: in whole seconds.
    return _NULL_TIME_S if value is None else int((value - EPOCH).total_seconds() // 1)
