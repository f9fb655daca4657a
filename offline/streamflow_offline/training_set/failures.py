"""The error message of a job that can't go on, with what is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import errors

from streamflow_offline.errors import JobError
from streamflow_offline.quoting import quoted
from streamflow_offline.training_set.stopping import told_to_stop

_ADVICE: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], str], ...] = (
    (
        errors.InsufficientPrivilege,
        "the job reads snapshot tables and makes a temporary one; grant SELECT on them and TEMPORARY on the database",
    ),
    (errors.ReadOnlySqlTransaction, "the job makes a temporary table, which a replica can't; name the primary"),
    (errors.InsufficientResources, "the server is out of space, memory or connections; make room"),
    (psycopg.OperationalError, "the server stopped, cancelled a statement or lost the connection"),
    (psycopg.Error, "a statement failed; see what it says"),
)
"""What to do about an error: the first class that fits."""


class EngineFailedError(JobError):
    """The engine that reads the features failed, and it is not PostgreSQL. The message says what to look at."""


@contextmanager
def explained(target: Path, kept: Callable[[], str | None]) -> Iterator[None]:
    """Turn an interruption and a failure of PostgreSQL, the engine or the disk into JobError."""

    def state() -> str:
        finished = kept()
        return f"{target} is as it was, and {finished}" if finished else f"nothing of {target} is written"

    try:
        with _interruptions():
            yield
    except KeyboardInterrupt:
        raise JobError(f"interrupted; {state()}") from None
    except EngineFailedError as error:
        raise JobError(f"{error.message}; {state()}") from error.__cause__
    except psycopg.Error as error:
        advice = next(advice for kinds, advice in _ADVICE if isinstance(error, kinds))
        said = " ".join((error.diag.message_primary or str(error)).split())
        if not isinstance(error, psycopg.OperationalError):
            # It may have a row.
            said = quoted(said)
        raise JobError(f"PostgreSQL failed: {advice}. It said: {said}; {state()}") from error
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        raise JobError(f"{target} can't be written: {error.strerror}{name}; {state()}") from error


@contextmanager
def _interruptions() -> Iterator[None]:
    """Make an interruption of any error, once the process was told to stop.

    A library that is interrupted between two steps may fail at the next one, with an error of its own.
    """
    try:
        yield
    except Exception as error:
        if told_to_stop.is_set():
            raise KeyboardInterrupt from error
        raise
