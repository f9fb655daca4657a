"""The rows of a CSV file, block by block. A file that PostgreSQL's COPY could read differently is refused."""

import csv
import gc
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import polars as pl

from streamflow_offline.ingest.csv_problems import MAX_ROW_LENGTH, check_header, misquoted, too_long, wrong_number
from streamflow_offline.ingest.problems import BadFileError, Problem
from streamflow_offline.quoting import quoted

LINE = "line"
"""The column with the line on which each row begins; the header is line 1."""

_BLOCK_BYTES = 1 << 18
_MAX_ROW_BYTES = 4 * MAX_ROW_LENGTH
_BOM = b"\xef\xbb\xbf"
_WELL_QUOTED = re.compile(r'(?:[^"]*+(?<![^,\n"])"[^"]*+"(?![^,\r\n"]))*+')
"""Text up to a quote in the wrong place. A doubled quote closes a quoted part and opens the next one at once."""

# Kinds of problem that are counted over the whole file.
_NOT_UTF8, _NUL, _END, _RETURN, _LINE_ENDING, _FIELDS = "UTF-8", "NUL", "end of data", "return", "line ending", "fields"


def read_csv(file: BinaryIO, *, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows as text, about 256 KiB at a time, with the line of each row in the last column, `line`.

    An empty field, quoted or not, is null. The file must be UTF-8 without a byte order mark. Its header must be exactly
    `columns`, each row must have as many fields, quotes must be as in RFC 4180, and all lines must end alike. Raises
    BadFileError, perhaps after some rows. A block and a row are all that is held in memory, whatever the file.
    """
    reader = _Reader(columns)
    for block in _blocks(file):
        rows = reader.read(block)
        if rows is not None:
            yield rows
    reader.finish()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines; the last block may be without an end, or cut in a row that is too long."""
    rest = b""
    while len(rest) <= _MAX_ROW_BYTES and (block := file.read(_BLOCK_BYTES)):
        lines, feed, tail = block.rpartition(b"\n")
        if feed:
            yield rest + lines + feed
            rest = b""
        rest += tail
    if rest:
        yield rest


class _Rows:
    """Whole rows, as they are written."""

    def __init__(self, text: str, *, first_line: int) -> None:
        self.text = text
        self._first_line = first_line
        self.masked = _masked(text).split("\n")
        """The text of each row, with an x for each quoted character, so that what is left has a meaning in CSV."""

        self.unended = bool(self.masked[-1])
        if not self.unended:
            self.masked.pop()

    def line(self, index: int) -> int:
        """Return the line on which a row begins."""
        return self._first_line + self.text.count("\n", 0, self._start(index))

    def written(self, index: int) -> str:
        """Return a row as it is written, without its end."""
        start = self._start(index)
        return self.text[start : start + len(self.masked[index])].removesuffix("\r")

    def fields(self) -> tuple[list[list[str]], list[int]]:
        """Return the fields of each row, and the line on which the row begins."""
        reader = csv.reader(io.StringIO(self.text, newline="\n"), strict=True)
        rows, lines, line = [], [], self._first_line
        for row in reader:
            rows.append(row or [""])
            lines.append(line)
            line = self._first_line + reader.line_num
        return rows, lines

    def _start(self, index: int) -> int:
        return sum(map(len, self.masked[:index])) + index


class _Reader:
    """Reads one file. Of the kinds of problem that are counted, only the first one found is."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._line = 1
        self._open_row = ""
        self._ends_with_return: bool | None = None
        self._has_header = self._has_rows = False
        self._kind: str | None = None
        self._problem: Problem | None = None

    def read(self, block: bytes) -> pl.DataFrame | None:
        """Return the rows that end in a block; None once the file has a problem."""
        first_line = self._line
        self._line += block.count(b"\n")
        text = self._text(block, first_line)
        if text is None or self._kind in {_NOT_UTF8, _NUL, _END}:
            return None
        first_line -= self._open_row.count("\n")
        rows = _Rows(self._whole_rows(self._open_row + text, first_line), first_line=first_line)
        self._check_ends(rows)
        if not rows.masked or self._kind in {_RETURN, _LINE_ENDING}:
            return None
        with _uncollected():
            fields, lines = rows.fields()
        if not self._has_header:
            check_header(rows.written(0), fields[0], self._columns)
        wrong = [index for index, row in enumerate(fields) if len(row) != len(self._columns)]
        if wrong:
            text = wrong_number(rows.written(wrong[0]), fields[wrong[0]], len(self._columns))
            self._count(_FIELDS, text, map(lines.__getitem__, wrong), rows=len(wrong))
        skipped, self._has_header = 0 if self._has_header else 1, True
        self._has_rows |= len(fields) > skipped
        return None if self._problem else self._frame(fields[skipped:], lines[skipped:])

    def finish(self) -> None:
        """Raise BadFileError for what was counted, and for what shows at the end of the file."""
        if self._open_row and self._kind not in {_NOT_UTF8, _NUL, _END}:
            opening = self._open_row.rfind('"')
            first_line = self._line - self._open_row.count("\n")
            raise misquoted(self._open_row, opening, first_line, "opens a quote that is never closed")
        if self._problem is not None:
            raise BadFileError(self._problem)
        if not self._has_header:
            raise BadFileError(Problem(text="the file is empty; expected a header and rows"))
        if not self._has_rows:
            raise BadFileError(Problem(text="the file has a header and no rows; expected a row for each user"))

    def _count(self, kind: str, text: str, lines: Iterable[int], *, rows: int) -> None:
        if self._problem is None and rows:
            self._kind, self._problem = kind, Problem(text=text)
        if self._problem is not None and self._kind == kind:
            self._problem.add(lines, rows=rows)

    def _text(self, block: bytes, first_line: int) -> str | None:
        """Return the text of a block, unless PostgreSQL does not take it as text."""
        if first_line == 1 and block.startswith(_BOM):
            text = "the file begins with a byte order mark; expected UTF-8 without one"
            raise BadFileError(Problem(text=text).add([1]))
        if b"\n" not in block and len(block) > _MAX_ROW_BYTES and b"\r" not in block:
            raise too_long(block[:MAX_ROW_LENGTH].decode(errors="ignore"), first_line)
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            near = block[max(error.start - 20, block.rfind(b"\n", 0, error.start) + 1) : error.end]
            lines = enumerate(block.split(b"\n"), first_line)
            bad = [line for line, content in lines if content.decode(errors="ignore").encode() != content]
            self._count(_NOT_UTF8, f"{quoted(repr(near))} is not UTF-8; expected a file in UTF-8", bad, rows=len(bad))
            return None
        if "\0" in text:
            bad = [line for line, content in enumerate(text.split("\n"), first_line) if "\0" in content]
            self._count(_NUL, "the line holds a NUL byte, which PostgreSQL can't store", bad, rows=len(bad))
        # COPY would stop at this line without an error, and leave out the rest of the file.
        if "\\." in text:
            bad = [line for line, row in enumerate(text.split("\n"), first_line) if row in {"\\.", "\\.\r"}]
            self._count(_END, r"the line '\.' is PostgreSQL's end of data; expected a row", bad, rows=len(bad))
        return text

    def _whole_rows(self, text: str, first_line: int) -> str:
        """Return the rows that are complete, and keep the last one while a quote of it is open."""
        self._open_row = ""
        good = _WELL_QUOTED.match(text)
        quote = text.find('"', good.end() if good else 0)
        if quote >= 0:
            if '"' in text[quote + 1 :] or (quote and text[quote - 1] not in ',\n"'):
                wrong = 'has a quote in the wrong place; expected " around a whole field and "" within it'
                raise misquoted(text, quote, first_line, wrong)
            end = _masked(text).rfind("\n") + 1
            text, self._open_row = text[:end], text[end:]
            if len(self._open_row) > MAX_ROW_LENGTH:
                raise too_long(self._open_row, first_line + text.count("\n"))
        return text

    def _check_ends(self, rows: _Rows) -> None:
        ended = rows.masked[:-1] if rows.unended else rows.masked
        if self._ends_with_return is None and ended:
            self._ends_with_return = ended[0].endswith("\r")
        if "\r" in rows.text or self._ends_with_return:
            bad = [index for index, row in enumerate(rows.masked) if "\r" in row[: -1 if index < len(ended) else None]]
            text = "a carriage return ends no line; expected it in front of a line feed or not at all"
            self._count(_RETURN, text, map(rows.line, bad), rows=len(bad))
            bad = [index for index, row in enumerate(ended) if row.endswith("\r") != self._ends_with_return]
            text = "the line ends differently from the first; expected all to end with LF, or all with CR LF"
            self._count(_LINE_ENDING, text, map(rows.line, bad), rows=len(bad))
        long = next((index for index, row in enumerate(rows.masked) if len(row) > MAX_ROW_LENGTH), None)
        if long is not None and self._kind not in {_RETURN, _LINE_ENDING}:
            raise too_long(rows.written(long), rows.line(long))

    def _frame(self, rows: Sequence[Sequence[str]], lines: Sequence[int]) -> pl.DataFrame:
        values = zip(*rows, strict=True) if rows else [()] * len(self._columns)
        frame = pl.DataFrame(
            dict(zip(self._columns, values, strict=True)), schema=dict.fromkeys(self._columns, pl.String)
        )
        return frame.select(pl.when(pl.all() != "").then(pl.all())).with_columns(pl.Series(LINE, lines, dtype=pl.Int64))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: it would go through all of these rows many times, two thirds of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _masked(text: str) -> str:
    parts = text.split('"')
    parts[1::2] = ["x" * len(part) for part in parts[1::2]]
    return '"'.join(parts)
