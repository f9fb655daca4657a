"""The folder beside the target in which a training set grows, and from which an interrupted job goes on.

`.NAME.partial/` has `manifest.json`, which says what is being built, and `dataset/` with a file for each finished part.
While a folder is replaced, the old one is in `replaced/`.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.chunks import Chunk, Part
from streamflow_offline.training_set.failures import explained
from streamflow_offline.training_set.files import PartFile, sync_dir, write_durably


class WorkingDir:
    """One target's working folder. One job at a time holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = path / "dataset"
        self.csv = path / "rows.csv"
        self.parts: list[PartFile] = []
        self._manifest = path / "manifest.json"
        self._replaced = path / "replaced"
        self._removed = path / "removed"

    @property
    def rows(self) -> int:
        """How many rows are finished."""
        return sum(part.rows for part in self.parts)

    def resume(self, inputs: str, chunks: Sequence[Chunk], read: Callable[[Part], PartFile]) -> int:
        """Take the chunks that an earlier job finished from the same inputs, and return how many there are.

        A damaged file ends them. With other inputs, the folder is emptied. Raises OSError.
        """
        if not self._manifest.is_file() or json.loads(self._manifest.read_bytes()) != {"inputs": inputs}:
            shutil.rmtree(self.dataset, ignore_errors=True)
            self.dataset.mkdir()
            write_durably(self._manifest, json.dumps({"inputs": inputs}).encode())
            return 0
        for number, chunk in enumerate(chunks):
            try:
                self.parts += [read(part) for part in chunk.parts]
            except (OSError, pa.ArrowInvalid):
                return number
        return len(chunks)

    def put_in_place(self, source: Path, target: Path) -> None:
        """Rename a file or folder to `target`, and replace what is there.

        A folder there is first renamed into the working folder. If the process is killed between the two renames, the
        next job renames it back. Raises OSError.
        """
        if target.is_dir():
            target.rename(self._replaced)
            try:
                source.rename(target)
            except BaseException:
                self._replaced.rename(target)
                raise
            # While it is deleted, it must no longer be renamed back.
            self._replaced.rename(self._removed)
        else:
            source.replace(target)
        sync_dir(target.parent)

    def repair(self, target: Path, *, tell: Callable[[str], None]) -> None:
        """Finish or undo what a killed job had begun to replace. Raises OSError."""
        shutil.rmtree(self._removed, ignore_errors=True)
        if not self._replaced.exists():
            return
        if os.path.lexists(target):
            self._replaced.rename(self._removed)
            shutil.rmtree(self._removed, ignore_errors=True)
        else:
            self._replaced.rename(target)
            sync_dir(target.parent)
            tell(f"an earlier job was stopped while it replaced {target}; {target} is there again as it was")

    def is_empty(self) -> bool:
        """Return whether no job can go on from the folder, and nothing in it has to be put back."""
        return not self._replaced.exists() and not any(self.dataset.rglob("part-*.parquet"))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def kept(self) -> str | None:
        """Return what the next job can go on from, as text; None for nothing."""
        if not self.rows:
            return None
        return (
            f"{self.rows:,} finished rows are kept in {self.path}: the same command goes on from there, as long as the "
            "data stay the same"
        )


@contextmanager
def working_dir(target: Path, *, tell: Callable[[str], None]) -> Iterator[WorkingDir]:
    """Yield the target's working folder, repaired; delete the folder at the end if it has no finished part.

    Failures of PostgreSQL, the disk and the engine in the block become JobErrors that say what is kept. Also raises
    JobError when the folder can't be made, and when another job holds it.
    """
    path = target.parent / f".{target.name}.partial"
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise JobError(
            f"{target} can't be written: {error.strerror} ({error.filename}); name a target that you may write to"
        ) from error
    try:
        _lock(handle, path, target)
        work = WorkingDir(path)
        try:
            with explained(target, work.kept):
                work.repair(target, tell=tell)
                yield work
        finally:
            if work.is_empty():
                work.remove()
    finally:
        os.close(handle)


def _lock(handle: int, path: Path, target: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.fstat(handle).st_ino == path.stat().st_ino
    except OSError:
        held = False
    if not held:
        raise JobError(f"another job is writing {target}; wait for it, or name another target")
