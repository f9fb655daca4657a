"""Files and folders that survive a power cut, and names that change in one step."""

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_NO_REPLACE, _EXCHANGE = 1, 2
# The file system, or the C library, does not know renameat2.
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def sync_dir(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, text: str) -> None:
    """Write a small file in one step: whole or not at all. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.new")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_dir(path.parent)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file or folder to a name that nothing has. Raises FileExistsError, and other OSErrors."""
    if not _renameat2(source, target, _NO_REPLACE):
        if target.exists() or target.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)
    sync_dir(target.parent)


def exchange(source: Path, target: Path) -> None:
    """Give two files or folders each other's names, in one step where the system can. Raises OSError.

    Where it can't, nothing has the target's name for a moment.
    """
    if not _renameat2(source, target, _EXCHANGE):
        aside = source.with_name(f"{source.name}.replaced")
        target.rename(aside)
        source.rename(target)
        aside.rename(source)
    sync_dir(target.parent)


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(target))
