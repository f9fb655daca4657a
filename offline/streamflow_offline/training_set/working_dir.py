"""The folder beside the target in which a training set grows, and from which an interrupted job goes on.

`.NAME.partial/` holds `dataset/` and `state.jsonl`: in the first line what is being built, then a line for each chunk
that is durably written.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.training_set.durable import sync_dir
from streamflow_offline.training_set.files import Segment


@dataclass(frozen=True, kw_only=True)
class ChunkRecord:
    """A chunk that is written."""

    segments: tuple[Segment, ...]
    summary: dict[str, Any]


class WorkingDir:
    """One training set's working folder, held by one job at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = path / "dataset"
        self.records: list[ChunkRecord] = []
        self._state = path / "state.jsonl"

    def resume(self, key: str) -> None:
        """Take up the chunks that an earlier job of the same key has finished; without one, begin anew.

        Only chunks whose files are as they were written count. Raises OSError.
        """
        self.records = list(self._intact(key))
        if not self.records:
            self._begin(key)
            return
        self._discard_rest()
        self._write_state([json.dumps({"key": key}), *(_line(record) for record in self.records)])

    def add(self, record: ChunkRecord) -> None:
        """Record a chunk whose files are written. Raises OSError."""
        for folder in {(self.dataset / segment.path).parent for segment in record.segments}:
            sync_dir(folder)
        sync_dir(self.dataset)
        with self._state.open("a", encoding="utf-8") as file:
            file.write(_line(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)

    def remove(self) -> None:
        """Delete the folder with all it holds."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _begin(self, key: str) -> None:
        shutil.rmtree(self.dataset, ignore_errors=True)
        self.dataset.mkdir()
        self._write_state([json.dumps({"key": key})])

    def _write_state(self, lines: list[str]) -> None:
        unfinished = self._state.with_suffix(".new")
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        unfinished.replace(self._state)
        sync_dir(self.path)

    def _intact(self, key: str) -> Iterator[ChunkRecord]:
        if not self._state.is_file():
            return
        first, *lines = self._state.read_text(encoding="utf-8").splitlines() or [""]
        if first != json.dumps({"key": key}):
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                return  # the job ended while it wrote the line
            record = ChunkRecord(segments=tuple(Segment(**s) for s in entry["segments"]), summary=entry["summary"])
            if not all(self._is_intact(segment) for segment in record.segments):
                return
            yield record

    def _is_intact(self, segment: Segment) -> bool:
        try:
            with (self.dataset / segment.path).open("rb") as file:
                file.seek(segment.offset)
                return hashlib.sha256(file.read(segment.bytes)).hexdigest() == segment.sha256
        except OSError:
            return False

    def _discard_rest(self) -> None:
        ends = {s.path: s.offset + s.bytes for record in self.records for s in record.segments}
        for path in self.dataset.rglob("*"):
            name = path.relative_to(self.dataset).as_posix()
            if not path.is_file():
                continue
            if name not in ends:
                path.unlink()
            elif path.stat().st_size > ends[name]:
                os.truncate(path, ends[name])


@contextmanager
def working_dir(target: Path) -> Iterator[WorkingDir]:
    """Yield the working folder for a target, made if need be; a block that fails before any chunk leaves none behind.

    Raises JobError when the folder can't be made, and when another job holds it.
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
            yield work
        finally:
            if not work.records and not _has_chunks(path):
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


def _has_chunks(path: Path) -> bool:
    state = path / "state.jsonl"
    return state.is_file() and len(state.read_text(encoding="utf-8").splitlines()) > 1


def _line(record: ChunkRecord) -> str:
    return json.dumps({"segments": [segment.as_json() for segment in record.segments], "summary": record.summary})
