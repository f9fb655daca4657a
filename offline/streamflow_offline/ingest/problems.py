"""What is wrong with a file, and the text that says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from streamflow_offline.quoting import quoted, revealed

MAX_LINES = 5
"""How many lines the text of a problem names."""

MAX_PROBLEMS = 5
"""How many problems of a file are reported."""

_MAX_VALUE_LENGTH = 60


@dataclass(kw_only=True)
class Problem:
    """One thing that is wrong, on any number of rows."""

    text: str
    """The first bad value, what is wrong with it, and what was expected."""

    column: str | None = None
    """The column of the bad values; None for what concerns a row or the file."""

    lines: list[int] = field(default_factory=list)
    """The first lines with the problem, the header being line 1; none for what concerns the whole file."""

    rows: int = 0
    """How many rows have the problem; 0 for what concerns the whole file."""

    def add(self, lines: Iterable[int], *, rows: int = 1) -> "Problem":
        """Count rows that have the problem; only the first few of their lines are read."""
        self.lines += map(int, islice(lines, MAX_LINES - len(self.lines)))
        self.rows += rows
        return self

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
    """The file can't be loaded because of one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(revealed(str(problem)))


def shown(value: str) -> str:
    """Return a value for a message: quoted, on one line, cut when it is long."""
    return quoted(repr(value) if len(value) <= _MAX_VALUE_LENGTH else f"{value[:_MAX_VALUE_LENGTH]!r}…")


def described(path: Path, problems: Sequence[Problem]) -> str:
    """Return the problems of a file as lines of text: the first few in full, and how many more there are."""
    left_out = len(problems) - MAX_PROBLEMS
    more = [f"  and {left_out} more kinds of problem" if left_out > 1 else "  and 1 more kind of problem"]
    return "\n".join([f"{path}", *(f"  {problem}" for problem in problems[:MAX_PROBLEMS]), *more[: max(0, left_out)]])
