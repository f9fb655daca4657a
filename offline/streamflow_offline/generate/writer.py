"""Month folders written aside and moved into place when complete."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from streamflow_offline.errors import JobError
from streamflow_offline.generate.rows import header
from streamflow_offline.months import find_months, folder_name
from streamflow_offline.tables import TABLES, Table


@contextmanager
def staged_months(out: Path, count: int) -> Iterator[list[Path]]:
    """Yield `count` month folders of files with headers only, to append to; they appear in `out` when the block ends.

    If the block raises, they are deleted, and `out` is as it was, but for being created. Raises JobError if `out`
    already holds a month, or can't be written to.
    """
    _refuse_months(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".generating-") as stage:
            folders = [Path(stage, folder_name(index)) for index in range(count)]
            for folder in folders:
                folder.mkdir()
                append_rows(folder, {table: header(table) for table in TABLES})
            yield folders
            for folder in folders:
                folder.rename(out / folder.name)
    except OSError as error:
        raise JobError(f"could not write month folders into {out}: {error}") from error


def append_rows(folder: Path, rows: Mapping[Table, str]) -> None:
    """Append each table's rows to its file in the month's folder.

    Files are opened anew each time: all files of a thousand months would be more than a process may hold open.
    """
    for table, text in rows.items():
        with (folder / f"{table.name}.csv").open("a", encoding="utf-8", newline="") as file:
            file.write(text)


def _refuse_months(out: Path) -> None:
    try:
        held = find_months(out)
    except JobError:
        return  # there is no month yet
    names = ", ".join(month.path.name for month in held)
    raise JobError(f"{out} already holds {names}; generate into another folder, or delete these first")
