"""Chunks have every row once, in order, and files of a day that depend on no other day."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from streamflow_offline.training_set.chunks import chunks_of_days, chunks_of_rows

_COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def _days(counts: list[int]) -> list[tuple[date, int]]:
    return [(date(2024, 1, 1) + timedelta(days=number), rows) for number, rows in enumerate(counts)]


@given(counts=_COUNTS, chunk_rows=st.integers(1, 50))
def test_chunks_of_days_have_every_row_once_and_no_more_than_they_may(counts: list[int], chunk_rows: int) -> None:
    chunks = list(chunks_of_days(_days(counts), chunk_rows=chunk_rows))

    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.first_row for chunk in chunks[1:]] == [chunk.last_row + 1 for chunk in chunks[:-1]]
    assert (chunks[0].first_row, chunks[-1].last_row) == (1, sum(counts))
    assert all(1 <= chunk.rows <= chunk_rows for chunk in chunks)
    parts = [part for chunk in chunks for part in chunk.parts]
    assert all(sum(part.rows for part in chunk.parts) == chunk.rows for chunk in chunks)
    for day, rows in _days(counts):
        of_day = [part for part in parts if part.as_of == day]
        assert [part.number for part in of_day] == list(range(len(of_day)))
        assert sum(part.rows for part in of_day) == rows


@given(counts=_COUNTS, chunk_rows=st.integers(1, 50))
def test_the_parts_of_a_day_depend_on_no_other_day(counts: list[int], chunk_rows: int) -> None:
    days = _days(counts)
    together = [part for chunk in chunks_of_days(days, chunk_rows=chunk_rows) for part in chunk.parts]
    alone = [part for day in days for chunk in chunks_of_days([day], chunk_rows=chunk_rows) for part in chunk.parts]
    assert together == alone


def test_small_days_share_a_chunk() -> None:
    chunks = list(chunks_of_days(_days([7043, 7043]), chunk_rows=100_000))
    assert [[part.rows for part in chunk.parts] for chunk in chunks] == [[7043, 7043]]


@given(rows=st.integers(1, 200), chunk_rows=st.integers(1, 50))
def test_chunks_of_rows_have_every_row_once(rows: int, chunk_rows: int) -> None:
    chunks = list(chunks_of_rows(rows, chunk_rows=chunk_rows))
    assert [n for chunk in chunks for n in range(chunk.first_row, chunk.last_row + 1)] == list(range(1, rows + 1))
    assert all(chunk.rows <= chunk_rows for chunk in chunks)
