"""Rows out of PostgreSQL, a chunk at a time, from COPY's text into Arrow."""

import io
import re

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.arrow_types import TIMESTAMP, Column, feature_column, postgres_type
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.definitions import Definitions
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.names import AS_OF, ENTITIES_TABLE, ENTITY_ROW, EVENT_TIMESTAMP, OUTPUT_ROW
from streamflow_offline.training_set.verbatim import verbatim

_COLUMN_NUMBER = re.compile(r"CSV column #(\d+)")
_COPIED = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


class ChunkReader:
    """Reads chunks of staged entities with their features."""

    def __init__(self, connection: psycopg.Connection, definitions: Definitions, staged: StagedEntities) -> None:
        self._connection = connection
        self._definitions = definitions
        self.first_row_sql = self._sql(1, 1)
        """Feast's SQL for the first row; for others, only their numbers differ."""
        described = sql.SQL("SELECT * FROM ({}) AS r LIMIT 0").format(verbatim(self.first_row_sql))
        found = connection.execute(described).description or []
        self.columns = _columns(definitions, staged, {c.name: postgres_type(c.type_code) for c in found})
        self._copied = (Column(name=OUTPUT_ROW, type=pa.int64(), source_type="int8"), *self.columns)

    def _sql(self, first_row: int, last_row: int) -> str:
        asked = sql.SQL("SELECT * FROM {} WHERE {} BETWEEN {} AND {}").format(
            sql.Identifier("pg_temp", ENTITIES_TABLE), sql.Identifier(OUTPUT_ROW), first_row, last_row
        )
        return self._definitions.point_in_time_sql(asked.as_string())

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in their order, with `columns`.

        Raises JobError for a value that its type can't hold, and for rows that are not those asked for.
        """
        statement = sql.SQL("COPY (SELECT {} FROM ({}) AS r ORDER BY r.{}) TO STDOUT (FORMAT csv)").format(
            sql.SQL(", ").join(column.expression("r") for column in self._copied),
            verbatim(self._sql(chunk.first_row, chunk.last_row)),
            sql.Identifier(OUTPUT_ROW),
        )
        buffer = io.BytesIO()
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for data in copy:
                buffer.write(data)
        table = self._table(buffer.getbuffer())
        numbers = table.column(OUTPUT_ROW)
        if not numbers.combine_chunks().equals(pa.array(range(chunk.first_row, chunk.last_row + 1), pa.int64())):
            raise JobError(
                f"PostgreSQL gave {table.num_rows:,} rows for the {chunk.rows:,} of chunk {chunk.number}, or others "
                "than these; the training set would not be what was asked for"
            )
        return table.drop_columns([OUTPUT_ROW])

    def _table(self, text: memoryview) -> pa.Table:
        try:
            table = csv.read_csv(
                pa.py_buffer(text),
                read_options=csv.ReadOptions(column_names=[column.name for column in self._copied]),
                parse_options=_COPIED,
                convert_options=csv.ConvertOptions(
                    column_types={column.name: column.text_type for column in self._copied},
                    # COPY writes an empty string in quotes, NULL without.
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    true_values=["t", "true", "True", "TRUE"],
                    false_values=["f", "false", "False", "FALSE"],
                ),
            )
        except pa.ArrowInvalid as error:
            raise JobError(
                f"a value does not fit its column's type: {self._named(str(error))}; mend the value or the definition"
            ) from error
        return pa.table({column.name: column.finished(table.column(column.name)) for column in self._copied})

    def _named(self, complaint: str) -> str:
        """Return Arrow's complaint with the column's name for its number."""
        return _COLUMN_NUMBER.sub(lambda match: f"column {self._copied[int(match[1])].name}", complaint)


def _columns(definitions: Definitions, staged: StagedEntities, found: dict[str, str]) -> tuple[Column, ...]:
    return (
        Column(name=AS_OF, type=pa.date32(), source_type="date"),
        Column(name=definitions.join_key, type=pa.string(), source_type="text"),
        Column(name=EVENT_TIMESTAMP, type=TIMESTAMP, source_type="timestamptz"),
        *([Column(name=ENTITY_ROW, type=pa.int64(), source_type="int8")] if staged.own_order else []),
        *(feature_column(f.name, dtype=f.dtype, source_type=found[f.name]) for f in definitions.features),
        *staged.carried,
    )
