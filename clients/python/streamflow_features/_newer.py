"""Keeps members of enums that are newer than this client."""

from enum import Enum
from typing import Any, TypeVar

_EnumT = TypeVar("_EnumT", bound=Enum)


def unknown_member(kind: type[_EnumT], value: object, *, of: Any) -> _EnumT | None:
    """Return a member with the name UNKNOWN and this value; None for a value that is not of the enum's type `of`."""
    if not isinstance(value, of):
        return None
    member: _EnumT = of.__new__(kind, value)
    member._name_, member._value_ = "UNKNOWN", value
    return member
