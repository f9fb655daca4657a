"""The files that jobs write their reports to."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from streamflow_offline.errors import JobError


def refuse_unwritable(path: Path | None) -> None:
    """Raise JobError if the folder of `path` does not exist, before the job does its work; None means no file."""
    if path is not None and not path.absolute().parent.is_dir():
        raise JobError(f"there is no folder {path.absolute().parent} for --json; make it, or name another file")


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write a report as JSON, times as ISO 8601; None means no file. Raises JobError."""
    if path is None:
        return
    text = json.dumps(content, indent=2, ensure_ascii=False, default=datetime.isoformat)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise JobError(f"{path} can't be written: {error.strerror}; give --json a file in a folder of yours") from error
