"""Where a training set ends up: free to be written, and then there as a whole."""

import json
import os
from pathlib import Path
from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.durable import exchange, move_into_place, write_durably
from streamflow_offline.training_set.files import CSV_NAME
from streamflow_offline.training_set.names import MANIFEST
from streamflow_offline.training_set.request import OutputFormat, TrainingSetRequest
from streamflow_offline.training_set.working_dir import WorkingDir


def manifest_path(request: TrainingSetRequest) -> Path:
    """Return where the manifest is: in the Parquet dataset, beside the CSV file."""
    if request.written_as is OutputFormat.PARQUET:
        return request.out / MANIFEST
    return request.out.with_name(f"{request.out.stem}.manifest.json")


def check_target(request: TrainingSetRequest) -> None:
    """Raise JobError when the target is there already, or is not what an overwritten one would be."""
    out, is_parquet = request.out, request.written_as is OutputFormat.PARQUET
    if not out.name:
        raise JobError(f"{out} names no file or folder; give --out a name")
    if not os.path.lexists(out):
        return
    if not request.overwrite:
        raise JobError(
            f"{out} is there already; name another target, or give --overwrite to put the new one in its place"
        )
    if out.is_symlink():
        raise JobError(f"{out} is a link; name what it points to")
    if is_parquet and not _is_training_set(out):
        raise JobError(f"{out} is no training set, so --overwrite leaves it alone; name another target, or remove it")
    if not is_parquet and not out.is_file():
        raise JobError(f"{out} is no file, so --overwrite leaves it alone; name another target, or remove it")


def publish(request: TrainingSetRequest, work: WorkingDir, manifest: dict[str, Any]) -> None:
    """Give the finished training set its name, in one step, and the manifest its place; remove the working folder.

    Raises JobError when something has taken the name meanwhile, and OSError.
    """
    check_target(request)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    if request.written_as is OutputFormat.PARQUET:
        write_durably(work.dataset / MANIFEST, text)
        source = work.dataset
    else:
        source = work.dataset / CSV_NAME
    if os.path.lexists(request.out):
        exchange(source, request.out)
    else:
        move_into_place(source, request.out)
    if request.written_as is OutputFormat.CSV:
        write_durably(manifest_path(request), text)
    work.remove()


def _is_training_set(path: Path) -> bool:
    try:
        return "content_hash" in json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
