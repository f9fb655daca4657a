"""A chunk's rows into files."""

import base64
import hashlib
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from streamflow_offline.training_set.chunks import Chunk
from streamflow_offline.training_set.names import AS_OF

CSV_NAME = "rows.csv"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What a chunk is in a file: all of it, or what it added to it."""

    path: str
    """Within the dataset."""

    offset: int
    bytes: int
    rows: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return the segment as JSON types."""
        return asdict(self)


class ChunkWriter(Protocol):
    """Writes chunks in their order."""

    def write(self, chunk: Chunk, table: pa.Table) -> list[Segment]:
        """Write a chunk's rows, durably, and return where they are. Raises OSError."""


class ParquetWriter:
    """Writes a file for each part of a chunk, `as_of=DAY/part-NNNNN.parquet`."""

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset

    def write(self, chunk: Chunk, table: pa.Table) -> list[Segment]:
        """Write a chunk's rows, durably, and return where they are. Raises OSError."""
        rows = table.drop_columns([AS_OF])
        segments = []
        first = 0
        for part in chunk.parts:
            path = f"{AS_OF}={part.as_of.isoformat()}/part-{part.number:05d}.parquet"
            buffer = io.BytesIO()
            pyarrow.parquet.write_table(
                # In one piece: how COPY's text was cut must not show in the file.
                rows.slice(first, part.rows).combine_chunks(),
                buffer,
                compression="zstd",
                row_group_size=part.rows,
            )
            segments.append(_append(self._dataset, path, buffer.getvalue(), rows=part.rows, offset=0))
            first += part.rows
        return segments


class CsvWriter:
    """Writes one file, `rows.csv`, chunk after chunk; Bytes are written as Base64."""

    def __init__(self, dataset: Path) -> None:
        self._dataset = dataset

    def write(self, chunk: Chunk, table: pa.Table) -> list[Segment]:
        """Write a chunk's rows, durably, and return where they are. Raises OSError."""
        buffer = io.BytesIO()
        options = pyarrow.csv.WriteOptions(include_header=chunk.number == 0)
        pyarrow.csv.write_csv(_printable(table), buffer, options)
        path = self._dataset / CSV_NAME
        offset = path.stat().st_size if chunk.number else 0
        return [_append(self._dataset, CSV_NAME, buffer.getvalue(), rows=chunk.rows, offset=offset)]


def _append(dataset: Path, name: str, data: bytes, *, rows: int, offset: int) -> Segment:
    path = dataset / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if offset else "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Segment(path=name, offset=offset, bytes=len(data), rows=rows, sha256=hashlib.sha256(data).hexdigest())


def _printable(table: pa.Table) -> pa.Table:
    for number, field in enumerate(table.schema):
        if pa.types.is_binary(field.type):
            encoded = [None if v is None else base64.b64encode(v).decode() for v in table.column(number).to_pylist()]
            table = table.set_column(number, field.name, pa.array(encoded, pa.string()))
    return table
