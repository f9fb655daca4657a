"""Feast's names of features' types, as far as values show them."""

from collections.abc import Mapping, Sequence
from typing import Final

from streamflow.features.v1.feature_pb2 import Feature

_SCALARS = {
    "bool_value": "Bool",
    "int32_value": "Int32",
    "int64_value": "Int64",
    "float_value": "Float32",
    "double_value": "Float64",
    "string_value": "String",
    "bytes_value": "Bytes",
    "timestamp_value": "UnixTimestamp",
}
DTYPES: Final[Mapping[str, str]] = {
    **_SCALARS,
    **{field.replace("_value", "_list_value"): f"List({dtype})" for field, dtype in _SCALARS.items()},
}
"""The type that each field of the proto's Feature has."""


def element_of(dtype: str) -> str | None:
    """Return the type of a list's elements. None for another type."""
    return dtype[5:-1] if dtype.startswith("List(") else None


class SeenDtypes:
    """The types of the features of several users, learned from the values that are there."""

    def __init__(self) -> None:
        """Creates types of no features."""
        self.by_name: dict[str, str | None] = {}
        """The type of each feature, in the order of the results. None: no value has been seen."""
        self._open: list[int] | None = None

    def see(self, features: Sequence[Feature]) -> None:
        """Learn from one user. All users have the same features in the same order."""
        if self._open is None:
            self._open = list(range(len(features)))
            self.by_name = dict.fromkeys(feature.name for feature in features)
        # Most types are known after the first user.
        if self._open:
            self._open = [position for position in self._open if not self._shows(features[position])]

    def _shows(self, feature: Feature) -> bool:
        field = feature.WhichOneof("value")
        if field is None:
            return False
        self.by_name[feature.name] = DTYPES.get(field)
        return True
