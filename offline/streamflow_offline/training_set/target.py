"""The place of a training set: whether it is free, and how a finished training set gets there."""

import json
import os
from pathlib import Path
from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.files import write_durably
from streamflow_offline.training_set.request import OutputFormat, TrainingSetRequest
from streamflow_offline.training_set.working_dir import WorkingDir

# Readers of Parquet datasets skip names that begin with an underscore.
_MANIFEST = "_manifest.json"


def manifest_path(request: TrainingSetRequest) -> Path:
    """Return the path of the manifest: in the Parquet dataset, or beside the CSV file."""
    if request.written_as is OutputFormat.PARQUET:
        return request.out / _MANIFEST
    return request.out.with_name(f"{request.out.stem}.manifest.json")


def check_target(request: TrainingSetRequest) -> None:
    """Raise JobError when the target is taken, or is something that must not be overwritten."""
    out, is_parquet = request.out, request.written_as is OutputFormat.PARQUET
    if not os.path.lexists(out):
        return
    if not request.overwrite:
        raise JobError(f"{out} is there already; name another target, or replace it with --overwrite")
    if out.is_symlink():
        raise JobError(f"{out} is a link; name what it points to")
    if is_parquet and not _is_training_set(out):
        raise JobError(f"{out} is not a training set, so --overwrite leaves it alone; name another target or remove it")
    if not is_parquet and not out.is_file():
        raise JobError(f"{out} is not a file, so --overwrite leaves it alone; name another target or remove it")


def publish(request: TrainingSetRequest, work: WorkingDir, manifest: dict[str, Any]) -> None:
    """Put the finished dataset or CSV file and its manifest in place, and delete the working folder.

    Raises JobError when the target has been taken meanwhile, and OSError.
    """
    check_target(request)
    text = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    if request.written_as is OutputFormat.PARQUET:
        write_durably(work.dataset / _MANIFEST, text)
        work.put_in_place(work.dataset, request.out)
    else:
        work.put_in_place(work.csv, request.out)
        write_durably(manifest_path(request), text)
    work.remove()


def _is_training_set(path: Path) -> bool:
    try:
        return "content_hash" in json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
