"""What a training set is asked to be."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

from streamflow_offline.errors import JobError

DEFAULT_CHUNK_ROWS = 100_000
_MAX_CHUNK_ROWS = 1_000_000


class OutputFormat(Enum):
    """What a training set is written as."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True, kw_only=True)
class TrainingSetRequest:
    """One training set, as it is asked for."""

    service: str
    """The feature service whose features it has."""

    out: Path
    """The folder of a Parquet dataset, or the CSV file."""

    as_of: tuple[date, ...] = ()
    """The label snapshots to take the entity rows from; none for all."""

    entities: Path | None = None
    """A CSV file of the caller's entity rows, in place of label snapshots."""

    entity_query: str | None = None
    """An SQL query of the caller's entity rows, in place of label snapshots."""

    output_format: OutputFormat | None = None
    """None for CSV if `out` ends in .csv, else Parquet."""

    overwrite: bool = False
    """Whether a training set that `out` already is gives way to the new one."""

    chunk_rows: int = DEFAULT_CHUNK_ROWS
    """How many rows are read, held in memory and written at a time, and lost if the job is interrupted."""

    @property
    def written_as(self) -> OutputFormat:
        """The format asked for, or the one that `out` says."""
        by_suffix = OutputFormat.CSV if self.out.suffix.lower() == ".csv" else OutputFormat.PARQUET
        return self.output_format or by_suffix

    def check(self) -> None:
        """Raise JobError for what contradicts itself or is out of range."""
        own = [name for name, given in (("--entities", self.entities), ("--entity-query", self.entity_query)) if given]
        if len(own) > 1:
            raise JobError("--entities and --entity-query both name entity rows; give one of them")
        if own and self.as_of:
            raise JobError(
                f"--as-of chooses label snapshots, and {own[0]} brings rows with times of their own; drop one"
            )
        if not 1 <= self.chunk_rows <= _MAX_CHUNK_ROWS:
            raise JobError(f"--chunk-rows is {self.chunk_rows}; give 1 to {_MAX_CHUNK_ROWS:,}")
        if self.output_format is OutputFormat.PARQUET and self.out.suffix.lower() == ".csv":
            raise JobError(f"{self.out} is named like a CSV file; leave --format out, or name a folder")
