"""Types on the way from PostgreSQL to Arrow: through the text of COPY, so that no value changes."""

from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql
from psycopg.postgres import types as postgres_types

from streamflow_offline.errors import JobError

TIMESTAMP = pa.timestamp("us", tz="UTC")

DTYPES = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "String": pa.string(),
    "Bytes": pa.binary(),
    "UnixTimestamp": TIMESTAMP,
}
"""Arrow's types, by the contract's dtypes."""

_INTEGERS = {"int2", "int4", "int8"}
_NUMBERS = {*_INTEGERS, "float4", "float8", "numeric"}
_TIMES = {"date", "timestamp", "timestamptz"}
_SOURCES = {
    "Bool": {"bool"},
    "Int32": _INTEGERS,
    "Int64": _INTEGERS,
    "Float32": _NUMBERS,
    "Float64": _NUMBERS,
    "String": {"text", "varchar", "bpchar", "name", "uuid"},
    "Bytes": {"bytea"},
    "UnixTimestamp": _TIMES,
}
_OF_POSTGRES = {
    "bool": pa.bool_(),
    "int2": pa.int32(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "numeric": pa.float64(),
    "date": pa.date32(),
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMP,
    "bytea": pa.binary(),
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the training set."""

    name: str
    type: pa.DataType

    source_type: str
    """What PostgreSQL has it as, by PostgreSQL's name."""

    @property
    def text_type(self) -> pa.DataType:
        """What the column is read as from the text that `expression` gives, before `finished`."""
        if self.type == TIMESTAMP:
            return pa.timestamp("us")
        return pa.string() if pa.types.is_binary(self.type) else self.type

    def expression(self, relation: str) -> sql.Composed:
        """Return the SQL whose text Arrow reads; the session's time zone is UTC."""
        column = sql.Identifier(relation, self.name)
        if self.type == TIMESTAMP:
            # To a TIMESTAMP: the text of a TIMESTAMPTZ ends in an offset.
            return sql.SQL("{}::timestamp").format(column)
        if pa.types.is_binary(self.type):
            return sql.SQL("encode({}, 'hex')").format(column)
        return sql.SQL("{}").format(column)

    def finished(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return values that were read as `text_type` as the column's own type."""
        if pa.types.is_binary(self.type):
            return pa.chunked_array(
                [pa.array([None if v is None else bytes.fromhex(v) for v in values.to_pylist()], self.type)]
            )
        # A TIMESTAMP of the session is in UTC.
        return values.cast(self.type) if values.type != self.type else values


def postgres_type(oid: int) -> str:
    """Return PostgreSQL's name of a built-in type, "unknown" for others."""
    info = postgres_types.get(oid)
    return info.name if info and info.oid == oid else "unknown"


def feature_column(name: str, *, dtype: str, source_type: str) -> Column:
    """Return the column of a feature of the contract. Raises JobError for a source that can't hold the dtype."""
    if source_type not in _SOURCES[dtype]:
        raise JobError(
            f"feature {name} is {dtype} in the contract, but its column is {source_type} in PostgreSQL; mend the "
            f"definition and run `offline apply`, or give its source a column of {' or '.join(sorted(_SOURCES[dtype]))}"
        )
    return Column(name=name, type=DTYPES[dtype], source_type=source_type)


def carried_column(name: str, *, source_type: str) -> Column:
    """Return the column of what comes with the entity rows; what has no type of its own in Arrow is text."""
    return Column(name=name, type=_OF_POSTGRES.get(source_type, pa.string()), source_type=source_type)
