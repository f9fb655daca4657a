"""Turns Python values into the API's request data."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real

from streamflow.features.v1.request_data_pb2 import RequestValue

RequestScalar = bool | int | float | str
"""One value of request data, or an element of a list."""

RequestDataValue = RequestScalar | Iterable[RequestScalar]
"""A value of request data. The gateway brings an int to a float where the definition has a float."""

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_FIELDS: Mapping[type, str] = {bool: "bool", int: "int64", float: "double", str: "string"}


def request_values(data: Mapping[str, RequestDataValue]) -> dict[str, RequestValue]:
    """Return request data as messages. Raises TypeError or ValueError for a value that can't be request data."""
    if not isinstance(data, Mapping):
        raise TypeError("request data are a mapping of names to values")
    return {name: _request_value(name, value) for name, value in data.items()}


def _request_value(name: str, value: RequestDataValue) -> RequestValue:
    message = RequestValue()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        elements = [_plain(name, element) for element in value]
        kinds = set(map(type, elements))
        if kinds == {int, float}:
            kinds = {float}
        if len(kinds) > 1:
            raise TypeError(f"the elements of the request data {name} are of different types")
        # The gateway refuses an empty list, and says what the request data takes.
        kind = kinds.pop() if kinds else str
        field = getattr(message, f"{_FIELDS[kind]}_list_value")
        field.SetInParent()
        field.val.extend(elements)
    else:
        plain = _plain(name, value)
        setattr(message, f"{_FIELDS[type(plain)]}_value", plain)
    return message


def _plain(name: str, value: object) -> RequestScalar:
    """Return a value as one of Python's own types; NumPy's numbers are others."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        whole = int(value)
        if not _MIN_INT <= whole <= _MAX_INT:
            raise ValueError(f"the request data {name} are outside the range of 64-bit integers")
        return whole
    if isinstance(value, Real):
        return float(value)
    raise TypeError(
        f"the request data {name} are of type {type(value).__name__}; give a bool, an int, a float, a str, or a list"
    )
