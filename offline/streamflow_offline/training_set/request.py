"""The request for a training set, and the report on the one that was built. Importing this module is cheap."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from streamflow_offline.errors import JobError

DEFAULT_CHUNK_ROWS = 100_000
_MAX_CHUNK_ROWS = 1_000_000


class OutputFormat(Enum):
    """The file format of a training set."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True, kw_only=True)
class TrainingSetRequest:
    """The options of one training set."""

    service: str
    """The feature service that names the features."""

    out: Path
    """The folder of a Parquet dataset, or the CSV file."""

    as_of: tuple[date, ...] = ()
    """The days of the label snapshots that give the entity rows. Empty means all days."""

    entities: Path | None = None
    """A CSV file of the caller's entity rows, instead of label snapshots."""

    entity_query: str | None = None
    """An SQL query for the caller's entity rows, instead of label snapshots."""

    output_format: OutputFormat | None = None
    """None means CSV if `out` ends in .csv, otherwise Parquet."""

    overwrite: bool = False
    """Whether to replace a training set that is already at `out`."""

    chunk_rows: int = DEFAULT_CHUNK_ROWS
    """How many rows are read, held in memory and written at a time. An interrupted job loses at most one chunk."""

    @property
    def written_as(self) -> OutputFormat:
        """The requested format, or the format that `out` implies."""
        by_suffix = OutputFormat.CSV if self.out.suffix.lower() == ".csv" else OutputFormat.PARQUET
        return self.output_format or by_suffix

    def check(self) -> None:
        """Raise JobError for options that contradict each other or are out of range."""
        if not self.out.name:
            raise JobError(f"{self.out} names no file or folder; give --out a name")
        own = [name for name, given in (("--entities", self.entities), ("--entity-query", self.entity_query)) if given]
        if len(own) > 1:
            raise JobError("--entities and --entity-query both name entity rows; give one of them")
        if own and self.as_of:
            raise JobError(f"--as-of chooses label snapshots, and {own[0]} brings its own rows and times; drop one")
        if not 1 <= self.chunk_rows <= _MAX_CHUNK_ROWS:
            raise JobError(f"--chunk-rows is {self.chunk_rows}; give 1 to {_MAX_CHUNK_ROWS:,}")
        if self.output_format is OutputFormat.PARQUET and self.out.suffix.lower() == ".csv":
            raise JobError(f"{self.out} is named like a CSV file; leave --format out, or name a folder")


@dataclass(frozen=True, kw_only=True)
class TrainingSetReport:
    """The training set that a job has built."""

    out: Path
    manifest_path: Path

    manifest: dict[str, Any]
    """The content of the manifest file."""

    resumed_rows: int
    """Rows that an earlier, interrupted job had finished."""
