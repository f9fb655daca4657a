"""Training set rows read from PostgreSQL, a chunk at a time."""

from collections.abc import Callable

import psycopg
import pyarrow as pa
from feast import FeatureView
from psycopg import sql

from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.columns import OUTPUT_ROW, feature_column, postgres_type
from streamflow_offline.training_set.definitions import Definitions, use_offline_store
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.postgres import copied_rows, fingerprint, key_indexes
from streamflow_offline.training_set.postgres_store import OFFLINE_STORE_TYPE
from streamflow_offline.training_set.reader import OUTPUT_ROW_COLUMN, check_rows, entity_columns, entity_rows
from streamflow_offline.view_sql import source_table, timestamp_field


class PostgresReader:
    """Reads features from PostgreSQL tables, in the transaction that the entities are staged in."""

    packages: tuple[str, ...] = ()

    def __init__(self, connection: psycopg.Connection, definitions: Definitions, staged: StagedEntities) -> None:
        self._connection = connection
        self._definitions = definitions
        self.point_in_time_sql = self._sql(1, 1)
        described = sql.SQL("SELECT * FROM ({}) AS r LIMIT 0").format(sql.SQL(self.point_in_time_sql))
        found = connection.execute(described).description or []
        types = {c.name: postgres_type(c.type_code) for c in found}
        features = (feature_column(f.name, dtype=f.dtype, source_type=types[f.name]) for f in definitions.stored)
        self.columns = (*entity_columns(definitions, staged), *features, *staged.carried)

    def fingerprint(self) -> dict[str, str]:
        """Return for each table a value that changes when its rows change."""
        return fingerprint(self._connection, [source_table(view) for view in self._definitions.views])

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in order, as FeatureReader says."""
        features = sql.SQL("({})").format(sql.SQL(self._sql(chunk.first_row, chunk.last_row)))
        columns = (OUTPUT_ROW_COLUMN, *self.columns)
        table = copied_rows(self._connection, features, columns, order_by=[OUTPUT_ROW])
        check_rows(table, chunk, engine="PostgreSQL")
        return table.drop_columns([OUTPUT_ROW])

    def check_unchanged(self) -> None:
        """Do nothing, because the transaction sees one state."""

    def _sql(self, first_row: int, last_row: int) -> str:
        return self._definitions.point_in_time_sql(entity_rows(first_row, last_row).as_string())


def choose_joins(connection: psycopg.Connection, definitions: Definitions, *, tell: Callable[[str], None]) -> None:
    """Choose how Feast joins each view in PostgreSQL, by the indexes of its source. Call this before the first read.

    Raises JobError for a source that is not a table of PostgreSQL or whose table is missing.
    """
    indexes = {view.name: key_indexes(connection, source_table(view), _key(view)) for view in definitions.views}
    for view in definitions.views:
        if not indexes[view.name].indexed:
            tell(
                f"{view.name}: {source_table(view).as_string()} has no index on ({', '.join(_key(view))}), so "
                "each row reads the whole table; create an index for more than a few thousand rows"
            )
    without_ties = sorted(name for name, found in indexes.items() if found.unique)
    use_offline_store(definitions.store, OFFLINE_STORE_TYPE, views_without_ties=without_ties)


def _key(view: FeatureView) -> list[str]:
    """Return the columns by which a probe finds rows of a view's source; the last is the event timestamp."""
    return [*view.join_keys, timestamp_field(view)]
