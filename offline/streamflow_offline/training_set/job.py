"""The job: entity rows, their features through Feast, files, manifest, name."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import psycopg
import pyarrow as pa
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.offline_store import OfflineStore

from streamflow_offline.feast_store import connected
from streamflow_offline.progress import Progress
from streamflow_offline.training_set.build import TrainingSetReport
from streamflow_offline.training_set.chunks import Chunk, chunks_of_days, chunks_of_rows
from streamflow_offline.training_set.csv_entities import stage_csv
from streamflow_offline.training_set.definitions import Definitions, committed_hash, load_definitions, opened
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.failures import explained
from streamflow_offline.training_set.files import ChunkWriter, CsvWriter, ParquetWriter
from streamflow_offline.training_set.label_entities import LABEL, LABEL_TABLE, stage_labels
from streamflow_offline.training_set.manifest import MANIFEST_VERSION, build_manifest, package_versions
from streamflow_offline.training_set.query_entities import stage_query
from streamflow_offline.training_set.reading import FeatureReader, PostgresReader, choose_joins
from streamflow_offline.training_set.request import OutputFormat, TrainingSetRequest
from streamflow_offline.training_set.session import one_state
from streamflow_offline.training_set.sources import fingerprint
from streamflow_offline.training_set.summary import chunk_summary
from streamflow_offline.training_set.target import check_target, manifest_path, publish
from streamflow_offline.training_set.working_dir import ChunkRecord, WorkingDir, working_dir

# Where tables without a schema are; the settings of PostgreSQL's offline store name one too.
_SCHEMA = "public"


def run(
    request: TrainingSetRequest, *, postgres_url: str, redis_url: str, tell: Callable[[str], None]
) -> TrainingSetReport:
    """Build a training set, as `build_training_set` says."""
    started = time.monotonic()
    request.check()
    check_target(request)
    with (
        working_dir(request.out) as work,
        explained(request.out, work),
        connected(postgres_url) as connection,
        opened(connection, postgres_url=postgres_url, redis_url=redis_url) as store,
    ):
        definitions = load_definitions(store, request.service)
        if definitions.contract_hash != committed_hash():
            tell(
                f"the applied definitions, {definitions.contract_hash}, are not those of {CONTRACT_PATH.name}; "
                "`offline apply` brings these into the registry"
            )
        with one_state(connection, schema=store.config.offline_config.get("db_schema", _SCHEMA)):
            read_at = datetime.now(UTC)
            engine = _engine(connection, definitions, tell)
            tell("collecting the entity rows")
            staged = _stage(connection, request, definitions)
            reader = engine(staged)
            work.resume(_key(connection, request, definitions, staged, reader))
            resumed_rows = sum(segment.rows for record in work.records for segment in record.segments)
            if resumed_rows:
                tell(f"going on after {resumed_rows:,} rows of an interrupted job")
            label = _label(reader)
            progress = Progress(staged.rows, done=resumed_rows, on_progress=tell)
            writer = _writer(request, work)
            for chunk in _chunks(request, staged):
                if chunk.number < len(work.records):
                    continue
                table = reader.read(chunk)
                summary = chunk_summary(table, features=[f.name for f in definitions.features], label=label)
                work.add(ChunkRecord(segments=tuple(writer.write(chunk, table)), summary=summary))
                progress.add(chunk.rows)
            reader.check_unchanged()
        manifest = build_manifest(
            request,
            definitions=definitions,
            staged=staged,
            records=work.records,
            columns={column.name: str(column.type) for column in reader.columns},
            label=label,
            dataset=work.dataset,
            packages=package_versions(reader.packages),
            read_at=read_at,
            duration_s=time.monotonic() - started,
        )
        publish(request, work, manifest)
    return TrainingSetReport(
        out=request.out, manifest_path=manifest_path(request), manifest=manifest, resumed_rows=resumed_rows
    )


def _engine(
    connection: psycopg.Connection, definitions: Definitions, tell: Callable[[str], None]
) -> Callable[[StagedEntities], FeatureReader]:
    """Return what makes a reader of staged entities, over the engine that the setting names."""
    if definitions.store.config.offline_config["type"] == OfflineStore.SPARK.value:
        from streamflow_offline.training_set.spark.reader import SparkReader  # noqa: PLC0415  # of the extra

        return partial(SparkReader, connection, definitions)
    choose_joins(connection, definitions, tell=tell)
    return partial(PostgresReader, connection, definitions)


def _stage(connection: psycopg.Connection, request: TrainingSetRequest, definitions: Definitions) -> StagedEntities:
    join_key = definitions.join_key
    features = frozenset(feature.name for feature in definitions.features)
    by_day = request.written_as is OutputFormat.PARQUET
    if request.entities is not None:
        return stage_csv(connection, request.entities, join_key=join_key, features=features, by_day=by_day)
    if request.entity_query is not None:
        return stage_query(connection, request.entity_query, join_key=join_key, features=features, by_day=by_day)
    return stage_labels(connection, as_of=request.as_of, join_key=join_key)


def _key(
    connection: psycopg.Connection,
    request: TrainingSetRequest,
    definitions: Definitions,
    staged: StagedEntities,
    reader: FeatureReader,
) -> str:
    """Return a hash over all that the files' bytes depend on."""
    labels = {} if staged.own_order else fingerprint(connection, [LABEL_TABLE])
    depends_on = {
        "layout": MANIFEST_VERSION,
        "contract": definitions.contract_hash,
        "query": reader.point_in_time_sql,
        "columns": [(column.name, str(column.type), column.source_type) for column in reader.columns],
        "entities": staged.content,
        "sources": reader.fingerprint() | labels,
        "format": request.written_as.value,
        "chunk_rows": request.chunk_rows,
        "packages": package_versions(reader.packages),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def _label(reader: FeatureReader) -> str | None:
    """Return the column whose mean is the label rate, if the rows have it as a number or Bool."""
    for column in reader.columns:
        is_number = pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)
        if column.name == LABEL.name and (is_number or pa.types.is_floating(column.type)):
            return column.name
    return None


def _writer(request: TrainingSetRequest, work: WorkingDir) -> ChunkWriter:
    if request.written_as is OutputFormat.PARQUET:
        return ParquetWriter(work.dataset)
    return CsvWriter(work.dataset)


def _chunks(request: TrainingSetRequest, staged: StagedEntities) -> Iterator[Chunk]:
    if request.written_as is OutputFormat.PARQUET:
        return chunks_of_days(staged.days, chunk_rows=request.chunk_rows)
    return chunks_of_rows(staged.rows, chunk_rows=request.chunk_rows)
