"""What a job says when it can't go on, and what is left to go on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import errors

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.working_dir import WorkingDir

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
"""What to do about an error, by the first of its kinds."""


class EngineFailedError(JobError):
    """What the features are read by, other than PostgreSQL, failed; the message says what to look at."""


@contextmanager
def explained(target: Path, work: WorkingDir) -> Iterator[None]:
    """Turn what ends a job from outside into JobError, and say what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise JobError(f"interrupted; {_kept(target, work)}") from None
    except EngineFailedError as error:
        raise JobError(f"{error}; {_kept(target, work)}") from error.__cause__
    except psycopg.Error as error:
        advice = next(advice for kinds, advice in _ADVICE if isinstance(error, kinds))
        said = " ".join((error.diag.message_primary or str(error)).split())
        raise JobError(f"PostgreSQL failed: {advice}. It said: {said}; {_kept(target, work)}") from error
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        raise JobError(f"{target} can't be written: {error.strerror}{name}; {_kept(target, work)}") from error


def _kept(target: Path, work: WorkingDir) -> str:
    rows = sum(segment.rows for record in work.records for segment in record.segments)
    if not rows:
        return f"nothing of {target} is written"
    return (
        f"{target} is as it was, and {rows:,} finished rows are kept in {work.path}: the same command goes on from "
        "there, as long as the data stay the same"
    )
