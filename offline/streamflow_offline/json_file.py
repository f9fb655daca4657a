"""The files that jobs write their reports to."""

from pathlib import Path

from streamflow_offline.errors import JobError


def refuse_unwritable(path: Path | None) -> None:
    """Raise JobError for a file whose folder is not there, before the job has done its work; None is for no file."""
    if path is not None and not path.absolute().parent.is_dir():
        raise JobError(f"there is no folder {path.absolute().parent} for --json; make it, or name another file")
