"""The files of pages."""

from importlib.util import find_spec
from pathlib import Path

from streamflow_offline.errors import JobError


def refuse_html(path: Path | None) -> None:
    """Raise JobError before the work is done, if a page could not be made; None means no page."""
    if path is None:
        return
    if missing := [name for name in ("altair", "jinja2", "vl_convert") if find_spec(name) is None]:
        raise JobError(f"--html needs {', '.join(missing)}; install streamflow-offline[html]")
    if not path.absolute().parent.is_dir():
        raise JobError(f"there is no folder {path.absolute().parent} for --html; make it, or name another file")


def write_html(path: Path, page: str) -> None:
    """Write a page. Raises JobError."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise JobError(f"{path} can't be written: {error.strerror}; give --html a file in a folder of yours") from error
