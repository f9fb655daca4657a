"""Reads Feast's Value messages of requests; pure."""

from typing import Any

from streamflow.features.feast.types.Value_pb2 import RepeatedValue, Value

# What join keys and request data can be: feature servers take them as JSON, which has neither bytes nor times.
_TAKEN = frozenset({"bool_val", "int32_val", "int64_val", "float_val", "double_val", "string_val"})
_LISTS_TAKEN = frozenset(name.replace("_val", "_list_val") for name in _TAKEN)


def python_values(column: RepeatedValue) -> list[Any]:
    """Return the values of a request's column; None for null, and for a value of a type that no column takes."""
    return [_python_value(value) for value in column.val]


def _python_value(value: Value) -> Any:
    field = value.WhichOneof("val")
    if field in _TAKEN:
        return getattr(value, field)
    return [*getattr(value, field).val] if field in _LISTS_TAKEN else None
