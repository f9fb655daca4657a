"""A limit of a process's memory, as a container has one."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HIERARCHIES = (
    (Path("/sys/fs/cgroup"), "memory.max", "cgroup.controllers"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.limit_in_bytes"),
)
"""Those of cgroup v2 and v1: the folder, the file of the limit, and a file that the folder has."""


@contextmanager
def memory_limit(pid: int, limit_bytes: int) -> Iterator[bool]:
    """Have the kernel kill a process that takes more than `limit_bytes` while the block lasts.

    What the process has already is not counted. Yields False, and sets no limit, where this process may set none.
    """
    for root, limit, known_by in _HIERARCHIES:
        if not (root / known_by).exists():
            continue
        group = root / f"streamflow-test-{pid}"
        try:
            group.mkdir()
            (group / limit).write_text(str(limit_bytes))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}:
                raise
            continue
        try:
            yield True
        finally:
            # A process that was killed is in no group.
            with suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(str(pid))
            group.rmdir()
        return
    yield False
