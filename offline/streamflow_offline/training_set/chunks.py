"""A training set in chunks: what is read at once, and which files its rows go to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive rows of one day, which a file of their own holds."""

    as_of: date
    number: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive rows that are read at once."""

    number: int
    """From 0 on."""

    first_row: int
    """From 1 on, as the rows are counted in PostgreSQL."""

    rows: int

    parts: tuple[Part, ...] = ()
    """What it is divided into; nothing where all rows go to one file."""

    @property
    def last_row(self) -> int:
        """The last row's number."""
        return self.first_row + self.rows - 1


def chunks_of_rows(rows: int, *, chunk_rows: int) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_rows` rows, whatever their days."""
    for number, first_row in enumerate(range(1, rows + 1, chunk_rows)):
        yield Chunk(number=number, first_row=first_row, rows=min(chunk_rows, rows - first_row + 1))


def chunks_of_days(days: Iterable[tuple[date, int]], *, chunk_rows: int) -> Iterator[Chunk]:
    """Yield chunks of at most `chunk_rows` rows, each of whole parts of days.

    What the parts of a day are depends on no other day, so that neither do its files.
    """
    numbers = count()
    first_row, waiting = 1, list[Part]()

    def chunk() -> Chunk:
        return Chunk(
            number=next(numbers), first_row=first_row, rows=sum(part.rows for part in waiting), parts=tuple(waiting)
        )

    for part in (part for day, rows in days for part in _parts(day, rows, chunk_rows=chunk_rows)):
        if waiting and sum(waited.rows for waited in waiting) + part.rows > chunk_rows:
            full = chunk()
            yield full
            first_row, waiting = first_row + full.rows, []
        waiting.append(part)
    if waiting:
        yield chunk()


def _parts(day: date, rows: int, *, chunk_rows: int) -> Iterator[Part]:
    parts = -(-rows // chunk_rows)
    for number in range(parts):
        yield Part(as_of=day, number=number, rows=rows * (number + 1) // parts - rows * number // parts)
