"""Types on the way from Spark to Arrow."""

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.arrow_types import DTYPES, Column

SPARK_TYPES = {
    "Bool": "boolean",
    "Int32": "int",
    "Int64": "bigint",
    "Float32": "float",
    "Float64": "double",
    "String": "string",
    "Bytes": "binary",
    "UnixTimestamp": "timestamp",
}
"""What Spark casts a feature to, by the contract's dtype."""

_INTEGERS = {"tinyint", "smallint", "int", "bigint"}
_NUMBERS = {*_INTEGERS, "float", "double", "decimal"}
_SOURCES = {
    "Bool": {"boolean"},
    "Int32": _INTEGERS,
    "Int64": _INTEGERS,
    "Float32": _NUMBERS,
    "Float64": _NUMBERS,
    "String": {"string"},
    "Bytes": {"binary"},
    "UnixTimestamp": {"date", "timestamp", "timestamp_ntz"},
}


def spark_feature_column(name: str, *, dtype: str, source_type: str) -> Column:
    """Return the column of a feature of the contract. Raises JobError for a source that can't hold the dtype."""
    if source_type.partition("(")[0] not in _SOURCES[dtype]:
        raise JobError(
            f"feature {name} is {dtype} in the contract, but its column is {source_type} in Parquet; mend the "
            f"definition and run `offline apply`, or give its source a column of {' or '.join(sorted(_SOURCES[dtype]))}"
        )
    return Column(name=name, type=DTYPES[dtype], source_type=source_type)
