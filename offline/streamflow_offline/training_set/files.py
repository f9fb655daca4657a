"""Durable files: the parts of a training set, and the CSV file that is made of them."""

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from streamflow_offline.training_set.chunks import Chunk, Part
from streamflow_offline.training_set.columns import AS_OF
from streamflow_offline.training_set.lists import lists_as_json
from streamflow_offline.training_set.summary import part_summary


@dataclass(frozen=True, kw_only=True)
class PartFile:
    """A finished part."""

    path: str
    """The path inside the dataset."""

    rows: int
    bytes: int
    sha256: str

    summary: dict[str, Any]
    """What the part adds to the summary of the training set."""


def sync_dir(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that it is there complete or not at all, even after a power cut. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_dir(path.parent)


def write_parquet(path: Path, rows: pa.Table, **options: Any) -> None:
    """Write rows to a Parquet file, durably. Raises OSError."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(rows, buffer, compression="zstd", **options)
    # Released also when the disk is full: Python 3.13's garbage collector complains of a buffer that is still viewed.
    with buffer.getbuffer() as view:
        write_durably(path, view)


def write_chunk(dataset: Path, chunk: Chunk, table: pa.Table) -> None:
    """Write each part of a chunk to its file, durably. Raises OSError."""
    first = 0
    for part in chunk.parts:
        # Contiguous, because the blocks in which COPY's text arrived must not show in the file.
        rows = table.slice(first, part.rows).combine_chunks()
        path = dataset / part.path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, rows.drop_columns([AS_OF]) if part.as_of else rows, row_group_size=part.rows)
        first += part.rows
    sync_dir(dataset)


def read_part(dataset: Path, part: Part, *, features: Sequence[str], label: str | None) -> PartFile:
    """Return the description of a part that is written. Raises OSError and pyarrow.ArrowInvalid for a damaged file."""
    data = (dataset / part.path).read_bytes()
    # Without combine_chunks, sums would depend on the reader's batches.
    rows = pyarrow.parquet.read_table(pa.BufferReader(data)).combine_chunks()
    if rows.num_rows != part.rows:
        raise pa.ArrowInvalid(f"{part.path} has {rows.num_rows} rows, expected {part.rows}")
    if part.as_of:
        rows = rows.append_column(AS_OF, pa.repeat(part.as_of, part.rows))
    return PartFile(
        path=part.path,
        rows=part.rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        summary=part_summary(rows, features=features, label=label),
    )


def write_csv(path: Path, dataset: Path, parts: Iterable[PartFile]) -> None:
    """Write the rows of all parts to one CSV file, durably: Bytes as Base64, and lists as JSON. Raises OSError."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            rows = pyarrow.parquet.read_table(dataset / part.path, partitioning=None)
            pyarrow.csv.write_csv(_printable(rows), file, pyarrow.csv.WriteOptions(include_header=number == 0))
        file.flush()
        os.fsync(file.fileno())


def _printable(table: pa.Table) -> pa.Table:
    for number, field in enumerate(table.schema):
        if pa.types.is_binary(field.type):
            encoded = [None if v is None else base64.b64encode(v).decode() for v in table.column(number).to_pylist()]
            table = table.set_column(number, field.name, pa.array(encoded, pa.string()))
        elif pa.types.is_list(field.type):
            table = table.set_column(number, field.name, lists_as_json(table.column(number)))
    return table
