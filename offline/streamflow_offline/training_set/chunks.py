"""A training set in chunks, which are read at once, and their parts, which are files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count

from streamflow_offline.training_set.columns import AS_OF


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive rows that share one file."""

    as_of: date | None
    """The day of all rows; None when the rows can be of several days."""

    number: int
    rows: int

    @property
    def path(self) -> str:
        """The file's path inside the dataset."""
        folder = f"{AS_OF}={self.as_of.isoformat()}/" if self.as_of else ""
        return f"{folder}part-{self.number:05d}.parquet"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive rows that are read at once."""

    number: int
    """Counted from 0."""

    first_row: int
    """Counted from 1, as the rows are in PostgreSQL."""

    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(part.rows for part in self.parts)

    @property
    def last_row(self) -> int:
        """The last row's number."""
        return self.first_row + self.rows - 1


def chunks_of_rows(rows: int, *, chunk_rows: int) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_rows` rows of any days, each with one part."""
    for number, first_row in enumerate(range(1, rows + 1, chunk_rows)):
        part = Part(as_of=None, number=number, rows=min(chunk_rows, rows - first_row + 1))
        yield Chunk(number=number, first_row=first_row, parts=(part,))


def chunks_of_days(days: Iterable[tuple[date, int]], *, chunk_rows: int) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_rows` rows whose parts have one day each.

    The parts of a day, and so its files, do not depend on the other days.
    """
    numbers = count()
    first_row, waiting = 1, list[Part]()
    for part in (part for day, rows in days for part in _parts(day, rows, chunk_rows=chunk_rows)):
        if waiting and sum(waited.rows for waited in waiting) + part.rows > chunk_rows:
            yield (full := Chunk(number=next(numbers), first_row=first_row, parts=tuple(waiting)))
            first_row, waiting = first_row + full.rows, []
        waiting.append(part)
    if waiting:
        yield Chunk(number=next(numbers), first_row=first_row, parts=tuple(waiting))


def _parts(day: date, rows: int, *, chunk_rows: int) -> Iterator[Part]:
    parts = -(-rows // chunk_rows)
    for number in range(parts):
        yield Part(as_of=day, number=number, rows=rows * (number + 1) // parts - rows * number // parts)
