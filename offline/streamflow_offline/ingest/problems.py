"""What is wrong with a file, and how it is told."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

MAX_LINES = 5
"""How many lines a problem names."""

MAX_PROBLEMS = 5
"""How many problems of a file are told."""

_MAX_VALUE_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, on however many rows."""

    text: str
    """The first bad value, what is wrong with it, and what was expected."""

    column: str | None = None
    """The column that it is in; None for what concerns a row or the file."""

    lines: tuple[int, ...] = ()
    """The first lines with the problem, the header being line 1; none for what concerns the whole file."""

    rows: int = 0
    """How many rows have the problem; 0 for what concerns the whole file."""

    def __str__(self) -> str:
        if not self.lines:
            return self.text
        column = f", {self.column}" if self.column else ""
        return f"line {self.lines[0]}{column}: {self.text} ({self._rows()})"

    def _rows(self) -> str:
        if self.rows == 1:
            return "1 row"
        more = ", …" if self.rows > len(self.lines) else ""
        return f"{self.rows:,} rows: lines {', '.join(map(str, self.lines))}{more}"


class BadFileError(Exception):
    """A file that can't be loaded, with its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


def problem_on(lines: Iterable[int], text: str, *, rows: int) -> Problem:
    """Return the problem of `rows` rows; no more of their line numbers are consumed than are told."""
    return Problem(text=text, lines=tuple(map(int, islice(lines, MAX_LINES))), rows=rows)


def shown(value: str) -> str:
    """Return a value as a message shows it: quoted, on one line, cut when it is long."""
    return repr(value) if len(value) <= _MAX_VALUE_LENGTH else f"{value[:_MAX_VALUE_LENGTH]!r}…"


def told(path: Path, problems: tuple[Problem, ...]) -> str:
    """Return a file's problems as lines of text, the first few of them in full."""
    left_out = len(problems) - MAX_PROBLEMS
    more = [f"  and {left_out} more kinds of problem" if left_out > 1 else "  and 1 more kind of problem"]
    return "\n".join([f"{path}", *(f"  {problem}" for problem in problems[:MAX_PROBLEMS]), *more[: max(0, left_out)]])
