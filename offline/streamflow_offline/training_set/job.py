"""The job: entity rows, their features through Feast, part files, manifest, and the target's name."""

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pyarrow as pa
from feast import FeatureStore
from streamflow_repo import CONTRACT_PATH
from streamflow_repo.definitions.offline_store import OfflineStore

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected
from streamflow_offline.progress import Progress
from streamflow_offline.steps import step
from streamflow_offline.training_set.chunks import Chunk, chunks_of_days, chunks_of_rows
from streamflow_offline.training_set.computing_reader import ComputingReader
from streamflow_offline.training_set.csv_entities import stage_csv
from streamflow_offline.training_set.definitions import Definitions, committed_hash, load_definitions, opened
from streamflow_offline.training_set.entities import StagedEntities
from streamflow_offline.training_set.files import read_part, write_chunk, write_csv
from streamflow_offline.training_set.manifest import MANIFEST_VERSION, build_manifest, package_versions
from streamflow_offline.training_set.on_demand import listed_fields
from streamflow_offline.training_set.postgres import fingerprint, one_state
from streamflow_offline.training_set.postgres_reader import PostgresReader, choose_joins
from streamflow_offline.training_set.reader import FeatureReader
from streamflow_offline.training_set.request import OutputFormat, TrainingSetReport, TrainingSetRequest
from streamflow_offline.training_set.sql_entities import LABEL, LABEL_TABLE, stage_labels, stage_query
from streamflow_offline.training_set.target import check_target, manifest_path, publish
from streamflow_offline.training_set.working_dir import WorkingDir, working_dir

# The schema of tables that are named without one. The settings of Feast's PostgreSQL store can name another.
_SCHEMA = "public"

Tell = Callable[[str], None]


def build_training_set(
    request: TrainingSetRequest, *, postgres_url: str, redis_url: str, on_progress: Tell | None = None
) -> TrainingSetReport:
    """Build a training set and return a report. The target is complete, or as it was.

    The job reads one state of the tables. A job that fails or is interrupted keeps its finished chunks beside the
    target, and the next job with the same request, definitions and data continues from there. Memory does not grow with
    the number of rows. `on_progress` gets lines of text.

    Raises JobError for a request that can't be met, and when PostgreSQL, Feast or the disk fails.
    """
    started = time.monotonic()
    tell = on_progress or (lambda _: None)
    request.check()
    with working_dir(request.out, tell=tell) as work:
        check_target(request)
        with (
            connected(postgres_url) as connection,
            opened(connection, postgres_url=postgres_url, redis_url=redis_url) as store,
        ):
            manifest, resumed_rows = _built(request, work, connection, store, tell=tell)
        manifest["duration_s"] = round(time.monotonic() - started, 3)
        publish(request, work, manifest)
    return TrainingSetReport(
        out=request.out, manifest_path=manifest_path(request), manifest=manifest, resumed_rows=resumed_rows
    )


def _built(
    request: TrainingSetRequest, work: WorkingDir, connection: psycopg.Connection, store: FeatureStore, *, tell: Tell
) -> tuple[dict[str, Any], int]:
    """Write all data files to the working folder; return the manifest, and how many rows were there already."""
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
        with step("stage"):
            staged = _stage(connection, request, definitions)
        reader = ComputingReader(engine(staged), definitions, staged)
        label, chunks = _label(reader), _chunks(request, staged)
        read = partial(read_part, work.dataset, features=[f.name for f in definitions.features], label=label)
        finished = work.resume(_inputs(connection, request, definitions, staged, reader), chunks, read)
        resumed_rows = work.rows
        if resumed_rows:
            tell(f"going on after {resumed_rows:,} rows of an interrupted job")
        progress = Progress(staged.rows, done=resumed_rows, on_progress=tell)
        for chunk in chunks[finished:]:
            with step("read and write", rows=chunk.rows):
                write_chunk(work.dataset, chunk, reader.read(chunk))
            work.parts += [read(part) for part in chunk.parts]
            progress.add(chunk.rows)
        reader.check_unchanged()
    csv = None
    if request.written_as is OutputFormat.CSV:
        write_csv(csv := work.csv, work.dataset, work.parts)
    manifest = build_manifest(
        request,
        definitions=definitions,
        staged=staged,
        parts=work.parts,
        csv=csv,
        columns={column.name: str(column.type) for column in reader.columns},
        label=label,
        packages=package_versions(reader.packages),
        read_at=read_at,
    )
    return manifest, resumed_rows


def _engine(
    connection: psycopg.Connection, definitions: Definitions, tell: Tell
) -> Callable[[StagedEntities], FeatureReader]:
    """Return a function that creates the reader of staged entities for the configured engine."""
    if definitions.store.config.offline_config["type"] == OfflineStore.SPARK.value:
        from streamflow_offline.training_set.spark_reader import SparkReader  # noqa: PLC0415  # needs the extra

        return partial(SparkReader, connection, definitions)
    choose_joins(connection, definitions, tell=tell)
    return partial(PostgresReader, connection, definitions)


def _stage(connection: psycopg.Connection, request: TrainingSetRequest, definitions: Definitions) -> StagedEntities:
    join_key, asked = definitions.join_key, definitions.request
    features = frozenset(feature.name for feature in (*definitions.features, *definitions.stored))
    by_day = request.written_as is OutputFormat.PARQUET
    if request.entities is not None:
        return stage_csv(
            connection, request.entities, join_key=join_key, features=features, request=asked, by_day=by_day
        )
    if request.entity_query is not None:
        return stage_query(
            connection, request.entity_query, join_key=join_key, features=features, request=asked, by_day=by_day
        )
    if asked:
        raise JobError(
            f"{request.service} needs request data: {listed_fields(asked)}. Label snapshots have none; bring rows with "
            "these columns by --entities or --entity-query"
        )
    return stage_labels(connection, as_of=request.as_of, join_key=join_key)


def _inputs(
    connection: psycopg.Connection,
    request: TrainingSetRequest,
    definitions: Definitions,
    staged: StagedEntities,
    reader: FeatureReader,
) -> str:
    """Return a hash over everything that the files' bytes depend on."""
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
    """Return the label's column if the rows have one that is a number or Bool. Its mean is the label rate."""
    for column in reader.columns:
        is_number = pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)
        if column.name == LABEL.name and (is_number or pa.types.is_floating(column.type)):
            return column.name
    return None


def _chunks(request: TrainingSetRequest, staged: StagedEntities) -> list[Chunk]:
    if request.written_as is OutputFormat.PARQUET:
        return list(chunks_of_days(staged.days, chunk_rows=request.chunk_rows))
    return list(chunks_of_rows(staged.rows, chunk_rows=request.chunk_rows))
