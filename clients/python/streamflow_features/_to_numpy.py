"""Features as NumPy arrays."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamflow_features._dtypes import element_of
from streamflow_features._extras import extra
from streamflow_features._fills import TableColumn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike
else:
    np = extra("numpy", name="numpy")

_NUMBERS = "biuf"
_TYPES: Mapping[str, str] = {
    "Bool": "bool",
    "Int32": "int32",
    "Int64": "int64",
    "Float32": "float32",
    "Float64": "float64",
    "UnixTimestamp": "datetime64[us]",
}
"""The others are objects."""


def matrix(
    user_ids: Sequence[str], columns: Sequence[TableColumn], *, dtype: "DTypeLike | None"
) -> "np.ndarray[tuple[int, int], Any]":
    """Return a row for each user and a column for each column. Raises ValueError for what `dtype` can't hold."""
    arrays = [masked(column) for column in columns]
    common = _common([array.dtype for array, _ in arrays]) if dtype is None else np.dtype(dtype)
    made = np.empty((len(user_ids), len(columns)), common)
    for place, (column, (array, missing)) in enumerate(zip(columns, arrays, strict=True)):
        # An array of times has neither their zone nor Python's own numbers.
        objects = common.kind == "O" and array.dtype.kind != "O"
        made[:, place] = np.fromiter(column.values, object, len(user_ids)) if objects else array
        if missing.any():
            if common.kind in "biu":
                user_id = user_ids[int(np.flatnonzero(missing)[0])]
                raise ValueError(
                    f"{column.name} of {user_id} has no value, and a matrix of {common} can't hold that; say what it "
                    "becomes by null, not_found or too_old, or give dtype=float"
                )
            made[missing, place] = _nothing(common)
    return made


def masked(column: TableColumn) -> "tuple[np.ndarray[tuple[int], Any], np.ndarray[tuple[int], np.dtype[np.bool_]]]":
    """Return a column's values as an array of its type, and where a value is missing: there the array has any value."""
    values = column.values
    missing = np.fromiter((value is None for value in values), bool, len(values))
    name = _TYPES.get(column.dtype)
    if name is None:
        element = element_of(column.dtype)
        objects = np.empty(len(values), object)
        # An assignment of all at once would take a list of tuples for a matrix.
        for place, value in enumerate(values):
            objects[place] = value if element is None or value is None else _array(value, _TYPES.get(element, "object"))
        return objects, missing
    if missing.any():
        some = datetime.fromtimestamp(0, UTC) if name.startswith("datetime64") else 0
        values = [some if value is None else value for value in values]
    return _array(values, name), missing


def _array(values: Sequence[Any], dtype: str) -> "np.ndarray[tuple[int], Any]":
    if dtype.startswith("datetime64"):
        # NumPy has no time zones.
        values = [value if value is None else value.astimezone(UTC).replace(tzinfo=None) for value in values]
    return np.array(values, dtype)


def _common(dtypes: "Sequence[np.dtype[Any]]") -> "np.dtype[Any]":
    kinds = {dtype.kind for dtype in dtypes}
    if kinds <= set(_NUMBERS):
        return np.result_type(*dtypes) if dtypes else np.dtype(float)
    return dtypes[0] if kinds == {"M"} else np.dtype(object)


def _nothing(dtype: "np.dtype[Any]") -> Any:
    if dtype.kind == "O":
        return None
    return np.datetime64("NaT", "us") if dtype.kind == "M" else np.nan
