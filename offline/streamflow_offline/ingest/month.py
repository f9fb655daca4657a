"""Checked month folders: the rows that were checked are kept, and the kept rows are what is loaded."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from streamflow_repo import JOIN_KEY

from streamflow_offline.errors import JobError
from streamflow_offline.ingest.checks import TableCheck
from streamflow_offline.ingest.csv_rows import LINE, read_csv
from streamflow_offline.ingest.problems import BadFileError, Problem, described
from streamflow_offline.months import MonthFolder
from streamflow_offline.tables import TABLES, USERS, Table


@dataclass(frozen=True, kw_only=True)
class CheckedMonth:
    """A month whose files were checked."""

    folder: MonthFolder

    rows: dict[str, Path]
    """The checked rows of each table as CSV without a header, to be COPYed."""


def check_months(
    folders: Iterable[MonthFolder], *, spool: Path, on_progress: Callable[[str], None]
) -> list[CheckedMonth]:
    """Read each file of each month once, and keep the rows in the folder `spool`; return the months.

    Raises JobError with the problems of every bad file. Of a file, the user ids and about 256 KiB of rows are held in
    memory at a time.
    """
    months, bad_months, bad_files = [], [], []
    for folder in folders:
        month = CheckedMonth(folder=folder, rows={t.name: spool / f"{folder.path.name}-{t.name}.csv" for t in TABLES})
        months.append(month)
        bad = list(_bad_files(month, on_progress=on_progress))
        if bad:
            bad_months.append(folder.path.name)
            bad_files += bad
    if bad_files:
        nothing = "nothing of any month was loaded" if len(months) > 1 else "nothing was loaded"
        files = "\n".join(bad_files)
        raise JobError(f"{nothing}: correct these files of {', '.join(bad_months)}, then ingest again\n{files}")
    return months


def _bad_files(month: CheckedMonth, *, on_progress: Callable[[str], None]) -> Iterator[str]:
    folder = month.folder.path
    users: pl.Series | None = None
    for table in TABLES:
        path = folder / f"{table.name}.csv"
        problems: list[Problem] = []
        try:
            ids, rows, problems = _checked(path, table, users=users, spool=month.rows[table.name])
        except FileNotFoundError:
            problems = [Problem(text="the file is missing")]
        except OSError as error:
            problems = [Problem(text=f"the file can't be read: {error.strerror}")]
        except BadFileError as error:
            problems = [error.problem]
        else:
            on_progress(f"checked {folder.name}/{path.name}: {rows:,} rows")
            users = ids if table is USERS else users
        if problems:
            yield described(path, problems)
    known = [f"{table.name}.csv" for table in TABLES]
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".csv" and path.name not in known:
            yield described(path, [Problem(text=f"the file is unknown; expected {', '.join(known)} and no other CSV")])


def _checked(path: Path, table: Table, *, users: pl.Series | None, spool: Path) -> tuple[pl.Series, int, list[Problem]]:
    """Return the user ids of a file, how many rows it has, and what is wrong with their values."""
    check, count = TableCheck(table, users=users), 0
    with path.open("rb") as file:
        for rows in read_csv(file, columns=(JOIN_KEY, *(column.name for column in table.csv_columns))):
            check.add(rows)
            count += rows.height
            _keep(rows.drop(LINE).write_csv(include_header=False), spool)
    ids, problems = check.finish()
    return ids, count, problems


def _keep(text: str, spool: Path) -> None:
    try:
        with spool.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise JobError(
            f"nothing was loaded: checked rows can't be kept in {spool.parent}: {error.strerror}; "
            "make room there, or name another folder with TMPDIR"
        ) from error
