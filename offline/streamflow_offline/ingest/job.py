"""The ingest job: check all months, then load each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import errors
from streamflow_repo.settings.postgres_url import open_postgres, parse_postgres_url

from streamflow_offline.errors import JobError
from streamflow_offline.ingest.load import MonthReport, load_month
from streamflow_offline.ingest.month import CheckedMonth, check_months
from streamflow_offline.ingest.schema import create_tables
from streamflow_offline.months import find_months
from streamflow_offline.quoting import quoted
from streamflow_offline.steps import step

_CONNECT_TIMEOUT_S = 10
_ADVICE: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str], ...] = (
    (errors.InsufficientPrivilege, "the user lacks a right; grant it, or ingest as the owner of the tables"),
    (
        (errors.UndefinedTable, errors.UndefinedColumn, errors.DatatypeMismatch),
        "a table is not as this version makes it; drop it, or ingest into another database",
    ),
    (psycopg.DataError, "a value does not fit its column; correct it and ingest again"),
    (psycopg.IntegrityError, "a constraint of the tables is in the way; correct the files or drop it"),
    (errors.InsufficientResources, "the server is out of space, memory or connections; make room and ingest again"),
    (psycopg.OperationalError, "the server stopped, cancelled a statement or lost the connection; ingest again"),
    (psycopg.Error, "a statement failed; see what it says"),
)
"""What to do about an error, by the first of its kinds."""


def ingest(path: Path, *, postgres_url: str, on_progress: Callable[[str], None] | None = None) -> list[MonthReport]:
    """Load the month folders in `path`, or `path` itself, into PostgreSQL; return what each month changed.

    Every file of every month is read once and checked before anything is written to PostgreSQL; the checked rows wait
    in a temporary folder. Then the months are loaded, the oldest first, each in its own transaction: the snapshots of
    the month become what its files say, and so do live rows that no later month has written. A month that is loaded
    again unchanged changes nothing. `on_progress` gets a line of text for each step.

    Raises ConnectionUrlError for the URL, and JobError for files that can't be loaded, with file, line, column and
    value, and for what PostgreSQL refuses; the message says which months, if any, were loaded.
    """
    progress = on_progress or _no_progress
    with TemporaryDirectory(prefix="offline-ingest-") as spool:
        with step("check files"):
            months = check_months(find_months(path), spool=Path(spool), on_progress=progress)
        with _connect(postgres_url) as connection:
            return _load(connection, months, on_progress=progress)


def _load(
    connection: psycopg.Connection, months: Sequence[CheckedMonth], *, on_progress: Callable[[str], None]
) -> list[MonthReport]:
    reports: list[MonthReport] = []
    with _explained(doing="the tables could not be created", loaded=[]):
        create_tables(connection)
    for index, month in enumerate(months):
        name = month.folder.path.name
        with step("load month", month=name), _explained(doing=f"nothing of {name} was loaded", loaded=months[:index]):
            reports.append(load_month(connection, month, on_progress=on_progress))
        on_progress(f"{name} is loaded, as of {month.folder.as_of}")
    return reports


def _connect(url: str) -> psycopg.Connection:
    settings = parse_postgres_url(url)
    try:
        return open_postgres(url, timeout_s=_CONNECT_TIMEOUT_S)
    except psycopg.Error as error:
        host, port = settings.get("host", "the default host"), settings.get("port", 5432)
        database, user = settings.get("dbname", "the default"), settings.get("user", "the default")
        raise JobError(
            f"can't connect to PostgreSQL at {host}, port {port}, database {database}, as user {user}; nothing was "
            f"loaded. See that the server runs and the URL is right. It said: {_said(error)}"
        ) from error


@contextmanager
def _explained(*, doing: str, loaded: Sequence[CheckedMonth]) -> Iterator[None]:
    """Turn PostgreSQL's errors in the block into JobError, and say what was loaded before it."""
    try:
        yield
    except (psycopg.Error, JobError) as error:
        before = f"; {', '.join(month.folder.path.name for month in loaded)} before it was loaded" if loaded else ""
        reason = error.message if isinstance(error, JobError) else f"{_advice(error)}. PostgreSQL said: {_said(error)}"
        raise JobError(f"{doing}{before}: {reason}") from error


def _advice(error: psycopg.Error) -> str:
    return next(advice for kinds, advice in _ADVICE if isinstance(error, kinds))


def _said(error: psycopg.Error) -> str:
    parts = (error.diag.message_primary or str(error), error.diag.message_detail, error.diag.context)
    said = "; ".join(" ".join(part.split()) for part in parts if part)
    # The others may have a row.
    return said if isinstance(error, psycopg.OperationalError) else quoted(said)


def _no_progress(_: str) -> None:
    """Drop the line."""
