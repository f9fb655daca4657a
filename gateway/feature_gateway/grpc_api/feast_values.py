"""Converts between Feast's Value messages and the gateway's values; pure."""

from collections.abc import Callable, Mapping
from typing import Any

from streamflow.features.feast.types.Value_pb2 import RepeatedValue, Value

from feature_gateway.dtypes import DTYPES, Dtype
from feature_gateway.values import FeatureValue

_NS_PER_S = 1_000_000_000

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


Form = tuple[str, Callable[[Value, str, Any], None]]
"""How values of a type are in a Value: the field, and what writes a value into the field."""


def add_value(values: Any, form: Form, value: FeatureValue) -> None:
    """Add a value to a repeated field of Value messages; None is a Value without a field."""
    message = values.add()
    if value is not None:
        field, write = form
        write(message, field, value)


def _write_seconds(message: Value, field: str, value: Any) -> None:
    setattr(message, field, value // _NS_PER_S)


def _form(dtype: Dtype) -> Form:
    fill = dtype.fill_proto
    if fill is None:
        return dtype.feast_field, setattr
    if dtype.python_type is not tuple:
        # A time is a message in the API, and a number in Feast's.
        return dtype.feast_field, _write_seconds
    return dtype.feast_field, lambda message, field, value: fill(getattr(message, field), value)


FORMS: Mapping[str, Form] = {name: _form(dtype) for name, dtype in DTYPES.items()}
"""The form of each type's values, by the type's name."""
