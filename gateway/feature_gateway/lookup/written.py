"""Values that a caller writes as texts, as the parameters of HTTP are; pure."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from feature_gateway.dtypes import element_of

_WHOLE = re.compile(r"-?[0-9]{1,19}")
# float() alone would also accept "nan", "1_000" and blanks.
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Written(tuple[str, ...]):
    """How a caller writes one value: one text, or one for each element of a list."""

    __slots__ = ()

    def value(self, dtype: str) -> Any:
        """Return the value of a type that can be request data; it has None for each text that is not of the type."""
        element = element_of(dtype)
        values = [_READ[element](text) for text in self]
        return values if element != dtype else values[0]


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


_READ: Mapping[str, Callable[[str], Any]] = {
    "Bool": {"true": True, "false": False}.get,
    "Int32": _whole,
    "Int64": _whole,
    "Float32": _number,
    "Float64": _number,
    "String": str,
}
