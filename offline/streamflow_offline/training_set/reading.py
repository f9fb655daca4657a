"""What reads a training set's rows, a chunk at a time, and how it does over PostgreSQL."""

from collections.abc import Callable
from typing import Protocol

import psycopg
import pyarrow as pa
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.arrow_types import TIMESTAMP, Column, feature_column, postgres_type
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.copying import copied_rows
from streamflow_offline.training_set.definitions import Definitions, use_offline_store
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.names import AS_OF, ENTITIES_TABLE, ENTITY_ROW, EVENT_TIMESTAMP, OUTPUT_ROW
from streamflow_offline.training_set.offline_store import OFFLINE_STORE_TYPE
from streamflow_offline.training_set.sources import fingerprint, key_columns, view_indexes
from streamflow_offline.training_set.verbatim import verbatim
from streamflow_offline.view_sql import source_table

OUTPUT_ROW_COLUMN = Column(name=OUTPUT_ROW, type=pa.int64(), source_type="int8")


class FeatureReader(Protocol):
    """Reads chunks of staged entities with their features, from wherever the feature views' sources are."""

    columns: tuple[Column, ...]
    """Of the rows that `read` returns, in their order."""

    packages: tuple[str, ...]
    """What is at work besides the packages of every training set."""

    point_in_time_sql: str
    """Feast's SQL for the features of some rows; for others, it differs in nothing that the rows depend on."""

    def fingerprint(self) -> dict[str, str]:
        """Return, by source, a value that changes with its rows. Raises JobError."""

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in their order, with `columns`.

        Raises JobError for a value that its type can't hold, and for rows that are not those asked for.
        """

    def check_unchanged(self) -> None:
        """Raise JobError when the chunks may be of different states of the sources."""


class PostgresReader:
    """Reads features from PostgreSQL's tables, in the transaction that the entities are staged in."""

    packages: tuple[str, ...] = ()

    def __init__(self, connection: psycopg.Connection, definitions: Definitions, staged: StagedEntities) -> None:
        self._connection = connection
        self._definitions = definitions
        self.point_in_time_sql = self._sql(1, 1)
        described = sql.SQL("SELECT * FROM ({}) AS r LIMIT 0").format(verbatim(self.point_in_time_sql))
        found = connection.execute(described).description or []
        types = {c.name: postgres_type(c.type_code) for c in found}
        features = (feature_column(f.name, dtype=f.dtype, source_type=types[f.name]) for f in definitions.features)
        self.columns = (*entity_columns(definitions, staged), *features, *staged.carried)

    def fingerprint(self) -> dict[str, str]:
        """Return, by table, a value that changes with its rows."""
        return fingerprint(self._connection, [source_table(view) for view in self._definitions.views])

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in their order, with `columns`, as FeatureReader says."""
        features = sql.SQL("({})").format(verbatim(self._sql(chunk.first_row, chunk.last_row)))
        columns = (OUTPUT_ROW_COLUMN, *self.columns)
        table = copied_rows(self._connection, features, columns, order_by=[OUTPUT_ROW])
        check_rows(table, chunk, engine="PostgreSQL")
        return table.drop_columns([OUTPUT_ROW])

    def check_unchanged(self) -> None:
        """Do nothing: the transaction sees one state."""

    def _sql(self, first_row: int, last_row: int) -> str:
        return self._definitions.point_in_time_sql(entity_rows(first_row, last_row).as_string())


def choose_joins(connection: psycopg.Connection, definitions: Definitions, *, tell: Callable[[str], None]) -> None:
    """Choose how Feast joins each view in PostgreSQL, by what its source's indexes say; before it has read any.

    Raises JobError for a source whose table is not there, and for one that is no table of PostgreSQL.
    """
    indexes = {view.name: view_indexes(connection, view) for view in definitions.views}
    for view in definitions.views:
        if not indexes[view.name].indexed:
            tell(
                f"{view.name}: {source_table(view).as_string()} has no index on ({', '.join(key_columns(view))}), so "
                "each row reads all of it; create one for more than a few thousand rows"
            )
    without_ties = sorted(name for name, found in indexes.items() if found.unique)
    use_offline_store(definitions.store, OFFLINE_STORE_TYPE, views_without_ties=without_ties)


def entity_rows(first_row: int, last_row: int) -> sql.Composed:
    """Return the SQL of consecutive staged entities."""
    return sql.SQL("SELECT * FROM {} WHERE {} BETWEEN {} AND {}").format(
        sql.Identifier("pg_temp", ENTITIES_TABLE), sql.Identifier(OUTPUT_ROW), first_row, last_row
    )


def entity_columns(definitions: Definitions, staged: StagedEntities) -> tuple[Column, ...]:
    """Return the columns that tell whose and of when a row is, which stand before its features."""
    return (
        Column(name=AS_OF, type=pa.date32(), source_type="date"),
        Column(name=definitions.join_key, type=pa.string(), source_type="text"),
        Column(name=EVENT_TIMESTAMP, type=TIMESTAMP, source_type="timestamptz"),
        *([Column(name=ENTITY_ROW, type=pa.int64(), source_type="int8")] if staged.own_order else []),
    )


def check_rows(table: pa.Table, chunk: Chunk, *, engine: str) -> None:
    """Raise JobError for rows that are not those of the chunk, each once and in order."""
    numbers = table.column(OUTPUT_ROW)
    if not numbers.combine_chunks().equals(pa.array(range(chunk.first_row, chunk.last_row + 1), pa.int64())):
        raise JobError(
            f"{engine} gave {table.num_rows:,} rows for the {chunk.rows:,} of chunk {chunk.number}, or others "
            "than these; the training set would not be what was asked for"
        )
