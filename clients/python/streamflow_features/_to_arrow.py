"""Features as an Arrow table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamflow_features._dtypes import element_of
from streamflow_features._extras import extra
from streamflow_features._fills import TableColumn

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = extra("pyarrow", name="arrow")

_TYPES = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "String": pa.string(),
    "Bytes": pa.binary(),
    "UnixTimestamp": pa.timestamp("us", tz="UTC"),
}


def table(user_ids: Sequence[str], columns: Sequence[TableColumn]) -> "pa.Table":
    """Return the column "user_id", and the columns."""
    names = ["user_id", *(column.name for column in columns)]
    arrays = [pa.array(list(user_ids), pa.string())]
    arrays += [pa.array(list(column.values), _type(column.dtype)) for column in columns]
    return pa.Table.from_arrays(arrays, names=names)


def _type(dtype: str) -> Any:
    element = element_of(dtype)
    return _TYPES[dtype] if element is None else pa.list_(_TYPES[element])
