"""PostgreSQL for training sets: the session, rows out of COPY into Arrow, and the state of tables."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.columns import Column

_SETTINGS = {
    # Feast reads a source's DATE or TIMESTAMP as UTC.
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # Compiling a query and caching its probes cost more than they save: each probe runs once.
    "jit": "off",
    "enable_memoize": "off",
    # A scan that joins another scan would give a query without ORDER BY its rows from the middle on.
    "synchronize_seqscans": "off",
    "work_mem": "64MB",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
_COLUMN_NUMBER = re.compile(r"CSV column #(\d+)")
_COPIED = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
# Views and foreign tables have no row versions.
_KINDS_WITH_ROW_VERSIONS = ("r", "m", "p")


@contextmanager
def one_state(connection: psycopg.Connection, *, schema: str) -> Iterator[None]:
    """Read one state of the tables throughout a block, and leave nothing behind.

    The block is one REPEATABLE READ transaction, which is rolled back. `schema` is searched for tables.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with connection.transaction(force_rollback=True):
        for name, value in {**_SETTINGS, "search_path": schema}.items():
            _set(connection, name, value)
        # The server then stops soon after the job is killed. Servers on Windows don't support this.
        with suppress(psycopg.errors.InvalidParameterValue), connection.transaction():
            _set(connection, "client_connection_check_interval", "1s")
        yield


def _set(connection: psycopg.Connection, name: str, value: str) -> None:
    connection.execute("SELECT set_config(%s, %s, true)", (name, value))


def copied_rows(
    connection: psycopg.Connection, relation: sql.Composable, columns: Sequence[Column], *, order_by: Sequence[str]
) -> pa.Table:
    """Return the rows of a table, or of a query in parentheses, ordered by some columns. The session must be in UTC.

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
    # Without a copy, and without a view that could outlive the buffer, as Python 3.13 warns of.
    return _parsed(buffer.getvalue(), columns)


def _parsed(text: bytes, columns: Sequence[Column]) -> pa.Table:
    if not text:
        return pa.schema([(column.name, column.type) for column in columns]).empty_table()
    try:
        table = csv.read_csv(
            pa.py_buffer(text),
            read_options=csv.ReadOptions(column_names=[column.name for column in columns]),
            parse_options=_COPIED,
            convert_options=csv.ConvertOptions(
                column_types={column.name: column.text_type for column in columns},
                # COPY writes an empty string with quotes, NULL without.
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t", "true", "True", "TRUE"],
                false_values=["f", "false", "False", "FALSE"],
            ),
        )
    except pa.ArrowInvalid as error:
        said = _COLUMN_NUMBER.sub(lambda match: f"column {columns[int(match[1])].name}", str(error))
        raise JobError(
            f"a value does not fit its column's type: {said}; correct the value or the definition"
        ) from error
    return pa.table({column.name: column.finished(table.column(column.name)) for column in columns})


@dataclass(frozen=True, kw_only=True)
class KeyIndexes:
    """The properties of a key and an event timestamp that follow from a table's indexes."""

    indexed: bool
    """Whether an index begins with them, so that a probe reads one row."""

    unique: bool
    """Whether no two rows have the same key and event timestamp."""


def key_indexes(connection: psycopg.Connection, table: sql.Identifier, columns: list[str]) -> KeyIndexes:
    """Return the index properties of the key's columns; the last column is the event timestamp.

    Raises JobError for a missing table.
    """
    # Only a complete index over plain columns applies to every row.
    indexes = connection.execute(
        "SELECT i.indisunique,"
        " array(SELECT a.attname::text FROM unnest(i.indkey[:i.indnkeyatts - 1]) WITH ORDINALITY AS k (number, place)"
        " JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)"
        " FROM pg_index AS i WHERE i.indrelid = %s::regclass AND i.indisvalid AND i.indpred IS NULL"
        " AND i.indexprs IS NULL",
        (_existing(connection, table),),
    ).fetchall()
    width = len(columns)
    return KeyIndexes(
        indexed=any(
            set(names[: width - 1]) == set(columns[:-1]) and names[width - 1 : width] == columns[-1:]
            for _, names in indexes
        ),
        unique=any(unique and set(names) <= set(columns) for unique, names in indexes),
    )


def fingerprint(connection: psycopg.Connection, tables: Iterable[sql.Identifier]) -> dict[str, str]:
    """Return for each table a value that changes when any of its rows changes.

    The value covers the row versions, which PostgreSQL renews with every write. For a view, it covers the rows.
    """
    found = {}
    for table in tables:
        name = _existing(connection, table)
        kind = connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s::regclass", (name,)).fetchone()
        row = (
            "hashtidextended(t.ctid, t.xmin::text::bigint # t.tableoid::bigint)"
            if kind and kind[0] in _KINDS_WITH_ROW_VERSIONS
            else "hashtextextended(t::text, 0)"
        )
        query = sql.SQL("SELECT count(*), bit_xor({}) FROM {} AS t").format(sql.SQL(row), table)
        found[name] = ":".join(map(str, connection.execute(query).fetchone() or ()))
    return found


def _existing(connection: psycopg.Connection, table: sql.Identifier) -> str:
    name = table.as_string()
    if connection.execute("SELECT to_regclass(%s) IS NULL", (name,)).fetchone() == (True,):
        raise JobError(f"there is no table {name}; load months with `offline ingest`, or apply definitions that fit")
    return name
