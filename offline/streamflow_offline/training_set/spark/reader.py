"""Rows whose entities PostgreSQL has and whose features Spark reads, a chunk at a time."""

import psycopg
import pyarrow as pa
from psycopg import sql
from pyspark.sql import functions

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.copying import copied_rows
from streamflow_offline.training_set.definitions import Definitions, use_offline_store
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.names import ENTITIES_TABLE, EVENT_TIMESTAMP, OUTPUT_ROW
from streamflow_offline.training_set.reading import OUTPUT_ROW_COLUMN, check_rows, entity_columns, entity_rows
from streamflow_offline.training_set.spark.offline_store import OFFLINE_STORE_TYPE
from streamflow_offline.training_set.spark.session import spark_errors, spark_session
from streamflow_offline.training_set.spark.sources import fingerprint, source_path
from streamflow_offline.training_set.spark.types import SPARK_TYPES, spark_feature_column


class SparkReader:
    """Reads features from Parquet by Spark, for entities that PostgreSQL has staged."""

    packages: tuple[str, ...] = ("pyspark",)

    def __init__(self, connection: psycopg.Connection, definitions: Definitions, staged: StagedEntities) -> None:
        use_offline_store(definitions.store, OFFLINE_STORE_TYPE)
        self._connection = connection
        self._paths = {view.name: source_path(view) for view in definitions.views}
        self._session = spark_session(definitions.store)
        self._first = self.fingerprint()
        self.point_in_time_sql = definitions.point_in_time_sql(f"SELECT * FROM {ENTITIES_TABLE}")  # noqa: S608
        self._entity_columns = entity_columns(definitions, staged)
        self._carried = staged.carried
        self._asked = [OUTPUT_ROW, definitions.join_key, EVENT_TIMESTAMP]
        types = {column.name: column.type for column in (OUTPUT_ROW_COLUMN, *self._entity_columns)}
        self._ask(pa.schema([(name, types[name]) for name in self._asked]).empty_table())
        with spark_errors():
            schema = self._session.sql(self.point_in_time_sql).schema
        self._features = tuple(
            spark_feature_column(f.name, dtype=f.dtype, source_type=schema[f.name].dataType.simpleString())
            for f in definitions.features
        )
        self._casts = [
            functions.col(OUTPUT_ROW),
            *(functions.col(f.name).cast(SPARK_TYPES[f.dtype]).alias(f.name) for f in definitions.features),
        ]
        self.columns = (*self._entity_columns, *self._features, *staged.carried)

    def fingerprint(self) -> dict[str, str]:
        """Return, by path, a value that changes with the files below it."""
        return {path: fingerprint(self._session, path) for path in sorted(set(self._paths.values()))}

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in their order, with `columns`, as FeatureReader says."""
        asked = sql.SQL("({})").format(entity_rows(chunk.first_row, chunk.last_row))
        columns = (OUTPUT_ROW_COLUMN, *self._entity_columns, *self._carried)
        entities = copied_rows(self._connection, asked, columns, order_by=[OUTPUT_ROW])
        self._ask(entities.select(self._asked))
        with spark_errors():
            found = self._session.sql(self.point_in_time_sql).select(*self._casts).toArrow().sort_by(OUTPUT_ROW)
        check_rows(found, chunk, engine="Spark")
        read = {column.name: entities.column(column.name) for column in columns}
        read |= {column.name: found.column(column.name).cast(column.type) for column in self._features}
        return pa.table({column.name: read[column.name] for column in self.columns})

    def check_unchanged(self) -> None:
        """Raise JobError when the Parquet is not what it was at first: chunks may be of different states."""
        if self.fingerprint() != self._first:
            raise JobError(
                f"files below {', '.join(sorted(set(self._paths.values())))} changed while they were read; run the job "
                "again when nothing writes there"
            )

    def _ask(self, entities: pa.Table) -> None:
        with spark_errors():
            self._session.createDataFrame(entities).createOrReplaceTempView(ENTITIES_TABLE)
