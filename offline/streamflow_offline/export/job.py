"""The snapshots as Parquet, for Spark to read: a folder for each table, a file for each month."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
from psycopg import sql
from streamflow_repo import JOIN_KEY

from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import connected
from streamflow_offline.ingest.schema import AS_OF, INGESTED_AT
from streamflow_offline.tables import LABELS, TABLES, ColumnType, Table
from streamflow_offline.training_set.columns import TIMESTAMP, Column, carried_column
from streamflow_offline.training_set.files import write_durably, write_parquet
from streamflow_offline.training_set.postgres import copied_rows, one_state
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
"""PostgreSQL's own name of each type."""


@dataclass(frozen=True, kw_only=True)
class ExportedTable:
    """A snapshot table that was written."""

    name: str
    months: int
    rows: int


def export_snapshots(
    out: str, *, postgres_url: str, on_progress: Callable[[str], None] | None = None
) -> list[ExportedTable]:
    """Write the snapshots that feature views read to a folder as Parquet, and replace an earlier export there.

    The files are one state of the tables. The new export replaces the earlier one when it is complete. One month of one
    table is held in memory. Raises JobError when the folder is not an export, and when PostgreSQL or the disk fails.
    """
    target = _target(out)
    tell = on_progress or (lambda _: None)
    tables = [table for table in TABLES if table.snapshot_name and table is not LABELS]
    with working_dir(target, tell=tell) as work, connected(postgres_url) as connection:
        shutil.rmtree(work.dataset, ignore_errors=True)
        exported = []
        with one_state(connection, schema="public"):
            for table in tables:
                tell(f"writing {table.snapshot_name}")
                exported.append(_export(connection, table, work.dataset / str(table.snapshot_name)))
        entry = {
            "read_at": datetime.now(UTC).isoformat(),
            "tables": {table.name: {"months": table.months, "rows": table.rows} for table in exported},
        }
        write_durably(work.dataset / _MANIFEST, f"{json.dumps(entry, indent=2)}\n".encode())
        work.put_in_place(work.dataset, target)
    return exported


def _target(out: str) -> Path:
    if "://" in out:
        raise JobError(f"{out} is a URI; export into a folder with --out, and copy the folder to where Spark reads it")
    target = Path(out)
    if not target.name:
        raise JobError(f"{target} names no folder; give --out a name")
    if os.path.lexists(target) and not (target / _MANIFEST).is_file():
        raise JobError(f"{target} is there already and is not an export; name another folder, or remove it")
    return target


def _export(connection: psycopg.Connection, table: Table, folder: Path) -> ExportedTable:
    folder.mkdir(parents=True)
    source = sql.Identifier(str(table.snapshot_name))
    query = sql.SQL("SELECT DISTINCT {} FROM {} ORDER BY 1").format(sql.Identifier(AS_OF), source)
    days: list[date] = [day for (day,) in connection.execute(query).fetchall()]
    rows = 0
    # Spark reads the columns from a file, so there must be one.
    for day in days or [date.min]:
        of_day = sql.SQL("(SELECT * FROM {} WHERE {} = {})").format(source, sql.Identifier(AS_OF), sql.Literal(day))
        written = copied_rows(connection, of_day, _columns(table), order_by=[JOIN_KEY])
        write_parquet(folder / (f"{day.isoformat()}.parquet" if days else "none.parquet"), written)
        rows += written.num_rows
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
