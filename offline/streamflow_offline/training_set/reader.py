"""The interface of what reads the rows of a training set, and what its implementations share."""

from typing import Protocol

import pyarrow as pa
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.columns import AS_OF, ENTITY_ROW, EVENT_TIMESTAMP, OUTPUT_ROW, TIMESTAMP, Column
from streamflow_offline.training_set.definitions import Definitions
from streamflow_offline.training_set.entities import ENTITIES_TABLE, StagedEntities

OUTPUT_ROW_COLUMN = Column(name=OUTPUT_ROW, type=pa.int64(), source_type="int8")


class FeatureReader(Protocol):
    """Reads chunks of staged entities with their features from the feature views' sources."""

    columns: tuple[Column, ...]
    """The columns that `read` returns, in order."""

    packages: tuple[str, ...]
    """The packages that are used besides those of every training set."""

    point_in_time_sql: str
    """Feast's SQL for the features of some rows. The SQL for other rows differs only in which rows it names."""

    def fingerprint(self) -> dict[str, str]:
        """Return for each source a value that changes when its rows change. Raises JobError."""

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in order, with `columns`.

        Raises JobError for a value that its type can't hold, and when the rows are not the requested rows.
        """

    def check_unchanged(self) -> None:
        """Raise JobError when the chunks may be from different states of the sources."""


def entity_rows(first_row: int, last_row: int) -> sql.Composed:
    """Return the SQL of consecutive staged entities."""
    return sql.SQL("SELECT * FROM {} WHERE {} BETWEEN {} AND {}").format(
        sql.Identifier("pg_temp", ENTITIES_TABLE), sql.Identifier(OUTPUT_ROW), first_row, last_row
    )


def entity_columns(definitions: Definitions, staged: StagedEntities) -> tuple[Column, ...]:
    """Return the columns in front of the features: day, key, time and, for the caller's own rows, their position."""
    return (
        Column(name=AS_OF, type=pa.date32(), source_type="date"),
        Column(name=definitions.join_key, type=pa.string(), source_type="text"),
        Column(name=EVENT_TIMESTAMP, type=TIMESTAMP, source_type="timestamptz"),
        *([Column(name=ENTITY_ROW, type=pa.int64(), source_type="int8")] if staged.own_order else []),
    )


def check_rows(table: pa.Table, chunk: Chunk, *, engine: str) -> None:
    """Raise JobError unless the table has each row of the chunk once and in order."""
    numbers = table.column(OUTPUT_ROW)
    if not numbers.combine_chunks().equals(pa.array(range(chunk.first_row, chunk.last_row + 1), pa.int64())):
        raise JobError(
            f"{engine} returned {table.num_rows:,} rows for the {chunk.rows:,} rows of chunk {chunk.number}, or other "
            "rows than these; the training set would be wrong"
        )
