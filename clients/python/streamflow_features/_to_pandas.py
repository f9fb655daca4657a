"""Features as a data frame of pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamflow_features._extras import extra
from streamflow_features._fills import TableColumn

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
else:
    pd = extra("pandas", name="pandas")
    np = extra("numpy", name="pandas")

from streamflow_features._to_numpy import masked


def data_frame(user_ids: Sequence[str], columns: Sequence[TableColumn]) -> "pd.DataFrame":
    """Return the column "user_id", and the columns."""
    texts = pd.array(list(user_ids), dtype="string")
    return pd.DataFrame({"user_id": texts, **{column.name: _series(column) for column in columns}})


def _series(column: TableColumn) -> Any:
    if column.dtype == "String":
        return pd.array(list(column.values), dtype="string")
    values, missing = masked(column)
    match values.dtype.kind:
        case "b":
            return pd.arrays.BooleanArray(values, missing)
        case "i":
            return pd.arrays.IntegerArray(values, missing)
        case "f":
            # The mask keeps NaN, which is a value, from becoming a missing one.
            return pd.arrays.FloatingArray(values, missing)
        case "M":
            values[missing] = np.datetime64("NaT", "us")
            return pd.DatetimeIndex(values).tz_localize("UTC")
        case _:
            return values
