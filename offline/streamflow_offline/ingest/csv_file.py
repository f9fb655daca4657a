"""A CSV file's bytes into rows of text, and refused where PostgreSQL's COPY could read them differently."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from streamflow_offline.ingest.problems import BadFileError, Problem, problem_on, shown

LINE = "line"
"""The name of the column with the line that each row begins on; the header is line 1."""

_BOM = b"\xef\xbb\xbf"
_COMMA, _QUOTE, _LF, _CR = b',"\n\r'


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where the rows of a file are, the header's being the first; every array has an item for each."""

    starts: NDArray[np.int64]
    """The offset of the row's first byte."""

    ends: NDArray[np.int64]
    """The offset behind its last byte; a carriage return is part of the row, the line feed is not."""

    lines: NDArray[np.int64]
    """The line that it begins on: later than its place when fields before it hold line breaks."""

    fields: NDArray[np.int64]
    """How many fields it has."""


def read_csv(data: bytes, *, columns: Sequence[str]) -> pl.DataFrame:
    """Return the rows as text, an empty field, quoted or not, as null, with the line of each in the column `line`.

    The file must be UTF-8 without a byte order mark, its header exactly `columns`, every row of as many fields, quotes
    as RFC 4180 has them, and its line endings all alike. Raises BadFileError.
    """
    _check_text(data)
    layout = _layout(data)
    _check_header(data, layout, columns)
    _check_fields(data, layout, columns)
    rows = pl.read_csv(data, infer_schema=False)
    if b'"' in data:
        rows = rows.with_columns(pl.all().replace("", None))
    return rows.with_columns(pl.Series(LINE, layout.lines[1:]))


def _check_text(data: bytes) -> None:
    if not data:
        raise BadFileError([Problem(text="the file is empty; expected a header and rows")])
    if data.startswith(_BOM):
        text = "the file begins with a byte order mark; expected UTF-8 without one"
        raise BadFileError([problem_on([1], text, rows=1)])
    try:
        data.decode()
    except UnicodeDecodeError as error:
        lines = enumerate(data.split(b"\n"), 1)
        bad = [number for number, line in lines if line.decode(errors="ignore").encode() != line]
        near = data[max(error.start - 20, data.rfind(b"\n", 0, error.start) + 1) : error.end]
        text = f"{near!r} is not UTF-8; expected a file in UTF-8"
        raise BadFileError([problem_on(bad, text, rows=len(bad))]) from None
    if b"\0" in data:
        _refuse_lines(data, rb"^.*\0.*$", "the line holds a NUL byte, which PostgreSQL can't store")
    # COPY would stop there without an error, and leave the rest of the file out.
    _refuse_lines(data, rb"^\\\.\r?$", r"the line '\.' is PostgreSQL's end of data; expected a row")


def _refuse_lines(data: bytes, pattern: bytes, text: str) -> None:
    starts = [match.start() for match in re.finditer(pattern, data, re.MULTILINE)]
    if starts:
        lines = (data.count(b"\n", 0, start) + 1 for start in starts)
        raise BadFileError([problem_on(lines, text, rows=len(starts))])


def _layout(data: bytes) -> _Layout:
    buffer = np.frombuffer(data, np.uint8)
    feeds = np.flatnonzero(buffer == _LF)
    quotes = np.flatnonzero(buffer == _QUOTE)
    _check_quotes(data, buffer, quotes)

    def outside_quotes(positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return positions[np.searchsorted(quotes, positions) % 2 == 0] if quotes.size else positions

    row_feeds = outside_quotes(feeds)
    returns = outside_quotes(np.flatnonzero(buffer == _CR))
    _check_line_endings(buffer, feeds=feeds, row_feeds=row_feeds, returns=returns)
    starts = np.concatenate([[0], row_feeds + 1])
    ends = np.append(row_feeds, len(data))
    if starts[-1] == len(data):
        starts, ends = starts[:-1], ends[:-1]
    commas = outside_quotes(np.flatnonzero(buffer == _COMMA))
    return _Layout(
        starts=starts,
        ends=ends,
        lines=np.searchsorted(feeds, starts) + 1,
        fields=np.searchsorted(commas, ends) - np.searchsorted(commas, starts) + 1,
    )


def _check_quotes(data: bytes, buffer: NDArray[np.uint8], quotes: NDArray[np.int64]) -> None:
    # Quotes open and close in turn; one that is doubled within a field closes it and opens it again at once.
    opening, closing = quotes[::2], quotes[1::2]
    misplaced = opening[(opening > 0) & ~np.isin(buffer[opening - 1], [_COMMA, _LF, _QUOTE])]
    followed = closing < len(data) - 1
    unfinished = followed & ~np.isin(buffer[np.minimum(closing + 1, len(data) - 1)], [_COMMA, _LF, _CR, _QUOTE])
    bad = np.concatenate([misplaced, opening[: closing.size][unfinished]])
    if bad.size:
        text = 'has a quote in the wrong place; expected " around a whole field and "" within it'
    elif opening.size > closing.size:
        bad = opening[-1:]
        text = "opens a quote that is never closed"
    else:
        return
    position = int(bad.min())
    start = data.rfind(b"\n", 0, position) + 1
    end = data.find(b"\n", start)
    value = shown(data[start : end if end >= 0 else None].decode())
    line = data.count(b"\n", 0, start) + 1
    raise BadFileError([problem_on([line], f"{value} {text}; the rows after it were not checked", rows=1)])


def _check_line_endings(
    buffer: NDArray[np.uint8], *, feeds: NDArray[np.int64], row_feeds: NDArray[np.int64], returns: NDArray[np.int64]
) -> None:
    if not returns.size:
        return
    strays = np.setdiff1d(returns, row_feeds - 1, assume_unique=True)
    text = "a carriage return ends no line; expected it before a line feed or not at all"
    if not strays.size:
        has_return = buffer[np.maximum(row_feeds - 1, 0)] == _CR
        strays = row_feeds[has_return != has_return[0]]
        text = "the line ends otherwise than the first; expected all to end with LF, or all with CR LF"
    if strays.size:
        lines = np.unique(np.searchsorted(feeds, strays) + 1)
        raise BadFileError([problem_on(lines, text, rows=lines.size)])


def _check_header(data: bytes, layout: _Layout, columns: Sequence[str]) -> None:
    header = _row(data, layout, 0)
    # Quotes are known to be in place, and no expected name holds one.
    found = header.replace('"', "").split(",")
    if found == list(columns) and layout.fields[0] == len(columns):
        return
    differences = [
        *(f"{name} is missing" for name in columns if name not in found),
        *(f"{shown(name)} is unknown" for name in dict.fromkeys(found) if name not in columns),
        *(f"{name} is there twice" for name in columns if found.count(name) > 1),
    ]
    if not differences or not set(found) & set(columns):
        differences = [f"{shown(header)} is another header or order"]
    text = f"{', '.join(differences)}; expected the header {','.join(columns)}"
    raise BadFileError([problem_on([1], text, rows=1)])


def _check_fields(data: bytes, layout: _Layout, columns: Sequence[str]) -> None:
    if layout.starts.size == 1:
        raise BadFileError([Problem(text="the file has a header and no rows; expected a row for each user")])
    ragged = np.flatnonzero(layout.fields != len(columns))
    if ragged.size:
        count = int(layout.fields[ragged[0]])
        text = (
            f"{shown(_row(data, layout, int(ragged[0])))} has {count} field{'s' if count > 1 else ''}; "
            f"expected {len(columns)}"
        )
        raise BadFileError([problem_on(layout.lines[ragged], text, rows=ragged.size)])


def _row(data: bytes, layout: _Layout, index: int) -> str:
    return data[layout.starts[index] : layout.ends[index]].decode().removesuffix("\r")
