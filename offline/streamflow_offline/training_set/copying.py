"""Rows out of PostgreSQL, from COPY's text into Arrow."""

import io
import re
from collections.abc import Sequence

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.arrow_types import Column

_COLUMN_NUMBER = re.compile(r"CSV column #(\d+)")
_COPIED = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)


def copied_rows(
    connection: psycopg.Connection, relation: sql.Composable, columns: Sequence[Column], *, order_by: Sequence[str]
) -> pa.Table:
    """Return the rows of a table, or of a query in parentheses, in the order of some columns; the session is in UTC.

    Raises JobError for a value that its type can't hold, and psycopg.Error.
    """
    statement = sql.SQL("COPY (SELECT {} FROM {} AS r ORDER BY {}) TO STDOUT (FORMAT csv)").format(
        sql.SQL(", ").join(column.expression("r") for column in columns),
        relation,
        sql.SQL(", ").join(sql.Identifier("r", name) for name in order_by),
    )
    buffer = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for data in copy:
            buffer.write(data)
    return _parsed(buffer.getbuffer(), columns)


def _parsed(text: memoryview, columns: Sequence[Column]) -> pa.Table:
    if not text:
        return pa.schema([(column.name, column.type) for column in columns]).empty_table()
    try:
        table = csv.read_csv(
            pa.py_buffer(text),
            read_options=csv.ReadOptions(column_names=[column.name for column in columns]),
            parse_options=_COPIED,
            convert_options=csv.ConvertOptions(
                column_types={column.name: column.text_type for column in columns},
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
            f"a value does not fit its column's type: {_named(str(error), columns)}; mend the value or the definition"
        ) from error
    return pa.table({column.name: column.finished(table.column(column.name)) for column in columns})


def _named(complaint: str, columns: Sequence[Column]) -> str:
    """Return Arrow's complaint with the column's name for its number."""
    return _COLUMN_NUMBER.sub(lambda match: f"column {columns[int(match[1])].name}", complaint)
