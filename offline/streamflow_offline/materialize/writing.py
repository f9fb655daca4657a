"""Writes rows to Redis as Feast does."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import redis
from psycopg import sql

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.newest import NewestRows, batches
from streamflow_offline.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore

_DEFAULT_BATCH_SIZE = 10_000


def write_rows(
    store: "FeatureStore",
    connection: psycopg.Connection,
    rows: NewestRows,
    condition: sql.Composable,
    *,
    total: int,
    over_newer: bool = False,
    on_progress: Callable[[str], None],
) -> float:
    """Write the `total` rows that meet an SQL condition; return how long writing took, in s.

    The online store leaves out rows that are older than what Redis has, unless `over_newer`. A batch is as large as
    Feast's settings say. Raises JobError for a value that its feature's type can't hold, redis.RedisError and
    psycopg.Error.
    """
    from feast.utils import _convert_arrow_to_proto  # noqa: PLC0415  # takes seconds

    join_keys = {column.name: column.dtype.to_value_type() for column in rows.view.entity_columns}
    size = store.config.materialization_config.online_write_batch_size or _DEFAULT_BATCH_SIZE
    progress = Progress(total, on_progress=lambda line: on_progress(f"{rows.name}: {line}"))
    with (
        _no_long_collections(),
        _writing_over_newer(store, wanted=over_newer),
        closing(batches(connection, rows, condition, size=size)) as selected,
    ):
        for columns, batch in selected:
            try:
                data = _convert_arrow_to_proto(_arrow(columns, batch), rows.view, join_keys)
                store.provider.online_write_batch(store.config, rows.view, data, None)
            except redis.RedisError:
                raise
            except Exception as error:
                raise JobError(f"writing {rows.name} failed: {type(error).__name__}: {error}") from error
            progress.add(len(batch))
    return progress.elapsed_s


def _arrow(columns: Sequence[psycopg.Column], rows: list[tuple[Any, ...]]) -> "pa.RecordBatch":
    """Return rows with the types that Feast's PostgreSQL store gives them."""
    import pyarrow as pa  # noqa: PLC0415  # takes a while
    from feast.type_map import pg_type_code_to_arrow  # noqa: PLC0415  # takes seconds

    schema = pa.schema([(column.name, pg_type_code_to_arrow(column.type_code)) for column in columns])
    values = zip(*rows, strict=True)
    arrays = [pa.array(list(column)).cast(field.type) for column, field in zip(values, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextmanager
def _writing_over_newer(store: "FeatureStore", *, wanted: bool) -> Iterator[None]:
    settings = store.config.online_store
    before = settings.skip_dedup
    settings.skip_dedup = wanted
    try:
        yield
    finally:
        settings.skip_dedup = before


@contextmanager
def _no_long_collections() -> Iterator[None]:
    """Keep the garbage collector from what importing Feast left in memory: a collection takes a quarter of the time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
