"""The columns of a training set, and their types from PostgreSQL's COPY text to Arrow. No value changes on the way."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
from psycopg import sql
from psycopg.postgres import types as postgres_types

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.lists import parsed_lists

EVENT_TIMESTAMP = "event_timestamp"
"""The column with a row's time, as of which its features are true. Feast expects this name."""

AS_OF = "as_of"
"""The column with the day of a row's time in UTC. In Parquet it is the partition."""

ENTITY_ROW = "entity_row"
"""The column with a row's position among the caller's own rows, counted from 0."""

OUTPUT_ROW = "output_row"
"""The column with a row's position in the training set, counted from 1. It exists only while the job runs."""

TIMESTAMP = pa.timestamp("us", tz="UTC")

_SCALARS = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "String": pa.string(),
    "Bytes": pa.binary(),
    "UnixTimestamp": TIMESTAMP,
}
DTYPES = {**_SCALARS, **{f"List({of})": pa.list_(arrow) for of, arrow in _SCALARS.items()}}
"""Arrow's type for each dtype of the contract."""

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
_PARAMETERS = re.compile(r"\(.*?\)")
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
    """The column's type in the source, by the source's own name for it."""

    @property
    def text_type(self) -> pa.DataType:
        """The type that the text of `expression` is parsed as; `finished` makes it the column's type."""
        if self.type == TIMESTAMP:
            return pa.timestamp("us")
        return pa.string() if pa.types.is_binary(self.type) or pa.types.is_list(self.type) else self.type

    def expression(self, relation: str) -> sql.Composed:
        """Return the SQL whose text Arrow parses. The session's time zone must be UTC."""
        column = sql.Identifier(relation, self.name)
        if self.type == TIMESTAMP:
            # The text of a TIMESTAMPTZ would end in an offset.
            return sql.SQL("{}::timestamp").format(column)
        if pa.types.is_binary(self.type):
            return sql.SQL("encode({}, 'hex')").format(column)
        if pa.types.is_list(self.type):
            times = self.type.value_type == TIMESTAMP
            return sql.SQL("array_to_json({}::timestamp[])" if times else "array_to_json({})").format(column)
        return sql.SQL("{}").format(column)

    def finished(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        """Convert values of `text_type` to the column's own type. Raises JobError for a value that it can't hold."""
        if pa.types.is_binary(self.type):
            return pa.chunked_array(
                [pa.array([None if v is None else bytes.fromhex(v) for v in values.to_pylist()], self.type)]
            )
        if pa.types.is_list(self.type):
            try:
                return parsed_lists(values, self.type.value_type)
            except (TypeError, ValueError, OverflowError) as error:
                raise JobError(
                    f"a value does not fit its column's type: {error} in column {self.name}; "
                    "correct the value or the definition"
                ) from error
        # A TIMESTAMP of the session is in UTC.
        return values.cast(self.type) if values.type != self.type else values


def postgres_type(oid: int) -> str:
    """Return PostgreSQL's name of a built-in type, or of an array of one, or "unknown"."""
    info = postgres_types.get(oid)
    if info is None:
        return "unknown"
    return info.name if info.oid == oid else f"{info.name}[]"


def with_lists(sources: Mapping[str, Collection[str]], array: str) -> dict[str, Collection[str]]:
    """Return the source types that can hold each dtype, with those of lists; `array` is the source's name of one."""
    lists = {f"List({dtype})": {array.format(source) for source in held} for dtype, held in sources.items()}
    return {**sources, **lists}


_SOURCES_WITH_LISTS = with_lists(_SOURCES, "{}[]")


def feature_column(
    name: str,
    *,
    dtype: str,
    source_type: str,
    allowed: Mapping[str, Collection[str]] = _SOURCES_WITH_LISTS,
    where: str = "PostgreSQL",
) -> Column:
    """Return the column of a feature of the contract.

    `allowed` has the source types that can hold each dtype. Raises JobError for another source type.
    """
    if _PARAMETERS.sub("", source_type) not in allowed[dtype]:
        raise JobError(
            f"feature {name} is {dtype} in the contract, but its column is {source_type} in {where}; "
            "correct the definition and run `offline apply`, or give its source a column of "
            f"{' or '.join(sorted(allowed[dtype]))}"
        )
    return Column(name=name, type=DTYPES[dtype], source_type=source_type)


def request_column(name: str, *, dtype: str, source_type: str, where: str) -> Column:
    """Return a column of request data that comes with the entity rows. Raises JobError for another source type."""
    allowed = _SOURCES_WITH_LISTS[dtype]
    if _PARAMETERS.sub("", source_type) not in allowed:
        raise JobError(
            f"{where} has the request data {name} as {source_type}, and the feature service takes {dtype}; "
            f"cast it to {' or '.join(sorted(allowed))}"
        )
    return Column(name=name, type=DTYPES[dtype], source_type=source_type)


def carried_column(name: str, *, source_type: str) -> Column:
    """Return a column that comes with the entity rows. A type without a counterpart in Arrow becomes text."""
    return Column(name=name, type=_OF_POSTGRES.get(source_type, pa.string()), source_type=source_type)
