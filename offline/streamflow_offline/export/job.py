"""The snapshots as Parquet, for Spark to read: a folder for each table, a file for each month."""

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet
from psycopg import sql
from streamflow_repo import JOIN_KEY

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected
from streamflow_offline.ingest.schema import AS_OF, INGESTED_AT
from streamflow_offline.tables import LABELS, TABLES, ColumnType, Table
from streamflow_offline.training_set.arrow_types import TIMESTAMP, Column, carried_column
from streamflow_offline.training_set.copying import copied_rows
from streamflow_offline.training_set.durable import exchange, move_into_place, sync_dir, write_durably
from streamflow_offline.training_set.failures import explained
from streamflow_offline.training_set.session import one_state
from streamflow_offline.training_set.working_dir import working_dir

_MANIFEST = "_export.json"
_TYPES = {
    ColumnType.TEXT: "text",
    ColumnType.DATE: "date",
    ColumnType.BOOL: "bool",
    ColumnType.INT: "int4",
    ColumnType.NUMERIC: "numeric",
    ColumnType.DOUBLE: "float8",
}
"""PostgreSQL's own names of the types."""


@dataclass(frozen=True, kw_only=True)
class ExportedTable:
    """A snapshot table as it was written."""

    name: str
    months: int
    rows: int


def export_snapshots(
    out: str, *, postgres_url: str, on_progress: Callable[[str], None] | None = None
) -> list[ExportedTable]:
    """Write the snapshots that feature views read as Parquet into a folder, in place of an earlier export there.

    All of it is one state of the tables, and the folder changes in one step. A month of a table is held in memory.
    Raises JobError when the folder is something else, and when PostgreSQL or the disk fails.
    """
    target = _target(out)
    tables = [table for table in TABLES if table.snapshot_name and table is not LABELS]
    with (
        working_dir(target) as work,
        explained(target, work),
        connected(postgres_url) as connection,
        one_state(connection, schema="public"),
    ):
        shutil.rmtree(work.dataset, ignore_errors=True)
        exported = []
        for table in tables:
            if on_progress is not None:
                on_progress(f"writing {table.snapshot_name}")
            exported.append(_export(connection, table, work.dataset / str(table.snapshot_name)))
        entry = {
            "read_at": datetime.now(UTC).isoformat(),
            "tables": {table.name: {"months": table.months, "rows": table.rows} for table in exported},
        }
        write_durably(work.dataset / _MANIFEST, json.dumps(entry, indent=2) + "\n")
        if target.exists():
            exchange(work.dataset, target)
        else:
            move_into_place(work.dataset, target)
    return exported


def write_parquet(path: Path, rows: pa.Table) -> None:
    """Write rows to a Parquet file that Spark reads, durably. Raises OSError."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer, compression="zstd")
    with path.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def _target(out: str) -> Path:
    if "://" in out:
        raise JobError(f"{out} is a URI; export into a folder with --out, and copy that to where Spark reads it")
    target = Path(out)
    if not target.name:
        raise JobError(f"{target} names no folder; give --out a name")
    if os.path.lexists(target) and not (target / _MANIFEST).is_file():
        raise JobError(f"{target} is there already and no export; name another folder, or remove it")
    return target


def _export(connection: psycopg.Connection, table: Table, folder: Path) -> ExportedTable:
    folder.mkdir(parents=True)
    source = sql.Identifier(str(table.snapshot_name))
    query = sql.SQL("SELECT DISTINCT {} FROM {} ORDER BY 1").format(sql.Identifier(AS_OF), source)
    days: list[date] = [day for (day,) in connection.execute(query).fetchall()]
    rows = 0
    # Spark takes the columns from a file, so that there is to be one.
    for day in days or [date.min]:
        of_day = sql.SQL("(SELECT * FROM {} WHERE {} = {})").format(source, sql.Identifier(AS_OF), sql.Literal(day))
        written = copied_rows(connection, of_day, _columns(table), order_by=[JOIN_KEY])
        write_parquet(folder / (f"{day.isoformat()}.parquet" if days else "none.parquet"), written)
        rows += written.num_rows
    sync_dir(folder)
    return ExportedTable(name=str(table.snapshot_name), months=len(days), rows=rows)


def _columns(table: Table) -> Sequence[Column]:
    features = [carried_column(column.name, source_type=_TYPES[column.type]) for column in table.snapshot_columns]
    return (
        Column(name=JOIN_KEY, type=pa.string(), source_type="text"),
        # A day is its midnight in UTC, as Feast reads it.
        Column(name=AS_OF, type=TIMESTAMP, source_type="date"),
        Column(name=INGESTED_AT, type=TIMESTAMP, source_type="timestamptz"),
        *features,
    )
