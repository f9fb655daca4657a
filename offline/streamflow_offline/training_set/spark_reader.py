"""Training set rows whose entities are in PostgreSQL and whose features Spark reads, a chunk at a time.

This module and `spark_store` need the extra `spark`. Nothing else imports PySpark.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pyarrow as pa
from feast import FeatureStore
from feast.infra.offline_stores.contrib.spark_offline_store.spark import get_spark_session_or_start_new_with_repoconfig
from psycopg import sql
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession, functions
from streamflow_repo.settings.spark import offline_store_environment

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import environment_of
from streamflow_offline.quoting import quoted
from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.columns import EVENT_TIMESTAMP, OUTPUT_ROW, feature_column, with_lists
from streamflow_offline.training_set.definitions import Definitions, use_offline_store
from streamflow_offline.training_set.entities import ENTITIES_TABLE, StagedEntities
from streamflow_offline.training_set.failures import EngineFailedError
from streamflow_offline.training_set.postgres import copied_rows
from streamflow_offline.training_set.reader import OUTPUT_ROW_COLUMN, check_rows, entity_columns, entity_rows
from streamflow_offline.training_set.spark_store import OFFLINE_STORE_TYPE, source_path

_SPARK_SCALARS = {
    "Bool": "boolean",
    "Int32": "int",
    "Int64": "bigint",
    "Float32": "float",
    "Float64": "double",
    "String": "string",
    "Bytes": "binary",
    "UnixTimestamp": "timestamp",
}
# Spark casts a feature of each dtype to this type.
_SPARK_TYPES = {**_SPARK_SCALARS, **{f"List({of})": f"array<{spark}>" for of, spark in _SPARK_SCALARS.items()}}
_INTEGERS = {"tinyint", "smallint", "int", "bigint"}
_NUMBERS = {*_INTEGERS, "float", "double", "decimal"}
_SOURCES = with_lists(
    {
        "Bool": {"boolean"},
        "Int32": _INTEGERS,
        "Int64": _INTEGERS,
        "Float32": _NUMBERS,
        "Float64": _NUMBERS,
        "String": {"string"},
        "Bytes": {"binary"},
        "UnixTimestamp": {"date", "timestamp", "timestamp_ntz"},
    },
    "array<{}>",
)


class SparkReader:
    """Reads features from Parquet through Spark, for entities that are staged in PostgreSQL."""

    packages: tuple[str, ...] = ("pyspark",)

    def __init__(self, connection: psycopg.Connection, definitions: Definitions, staged: StagedEntities) -> None:
        use_offline_store(definitions.store, OFFLINE_STORE_TYPE)
        self._connection = connection
        self._paths = sorted({source_path(view) for view in definitions.views})
        self._session = _spark_session(definitions.store)
        self._first = self.fingerprint()
        self.point_in_time_sql = definitions.point_in_time_sql(f"SELECT * FROM {ENTITIES_TABLE}")  # noqa: S608
        self._entity_columns = entity_columns(definitions, staged)
        self._carried = staged.carried
        self._asked = [OUTPUT_ROW, definitions.join_key, EVENT_TIMESTAMP]
        types = {column.name: column.type for column in (OUTPUT_ROW_COLUMN, *self._entity_columns)}
        self._ask(pa.schema([(name, types[name]) for name in self._asked]).empty_table())
        with _spark_errors():
            schema = self._session.sql(self.point_in_time_sql).schema
        self._features = tuple(
            feature_column(
                f.name,
                dtype=f.dtype,
                source_type=schema[f.name].dataType.simpleString(),
                allowed=_SOURCES,
                where="Parquet",
            )
            for f in definitions.stored
        )
        self._casts = [
            functions.col(OUTPUT_ROW),
            *(functions.col(f.name).cast(_SPARK_TYPES[f.dtype]).alias(f.name) for f in definitions.stored),
        ]
        self.columns = (*self._entity_columns, *self._features, *staged.carried)

    def fingerprint(self) -> dict[str, str]:
        """Return for each path a value that changes with the files below it: their names, sizes and times of change."""
        return {path: self._fingerprint(path) for path in self._paths}

    def read(self, chunk: Chunk) -> pa.Table:
        """Return a chunk's rows in order, as FeatureReader says."""
        asked = sql.SQL("({})").format(entity_rows(chunk.first_row, chunk.last_row))
        columns = (OUTPUT_ROW_COLUMN, *self._entity_columns, *self._carried)
        entities = copied_rows(self._connection, asked, columns, order_by=[OUTPUT_ROW])
        self._ask(entities.select(self._asked))
        with _spark_errors():
            found = self._session.sql(self.point_in_time_sql).select(*self._casts).toArrow().sort_by(OUTPUT_ROW)
        check_rows(found, chunk, engine="Spark")
        read = {column.name: entities.column(column.name) for column in columns}
        read |= {column.name: found.column(column.name).cast(column.type) for column in self._features}
        return pa.table({column.name: read[column.name] for column in self.columns})

    def check_unchanged(self) -> None:
        """Raise JobError when the Parquet has changed, because the chunks may then be from different states."""
        if self.fingerprint() != self._first:
            raise JobError(
                f"files below {', '.join(self._paths)} changed while they were read; run the job "
                "again when nothing writes there"
            )

    def _ask(self, entities: pa.Table) -> None:
        with _spark_errors():
            self._session.createDataFrame(entities).createOrReplaceTempView(ENTITIES_TABLE)

    def _fingerprint(self, path: str) -> str:
        reader = self._session.read.format("binaryFile").option("recursiveFileLookup", value=True)
        with _spark_errors():
            files = reader.load(path).select("path", "length", "modificationTime").collect()
        lines = sorted(f"{file.path} {file.length} {file.modificationTime.timestamp()}\n" for file in files)
        return f"{len(lines)}:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def _spark_session(store: FeatureStore) -> SparkSession:
    """Return the session that Feast uses in this process, and start it if needed with the offline store's settings."""
    with environment_of(offline_store_environment()), _spark_errors():
        session: SparkSession = get_spark_session_or_start_new_with_repoconfig(store.config.offline_store)
        return session


@contextmanager
def _spark_errors() -> Iterator[None]:
    """Turn an error of Spark into EngineFailedError, with the first line of its message."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise EngineFailedError(
            f"Spark failed: {quoted(said.removesuffix('.'))}. Its data are in FEAST_SPARK_DATA, which `offline export` "
            "writes; its settings in spark-defaults.conf, in the folder of SPARK_CONF_DIR"
        ) from error
