"""What a file is without its content, by which a change of it is seen."""

from pathlib import Path

FileStamp = tuple[int, int, int]
"""Modification time, size and inode: another inode is a file that replaced the first."""


def file_stamp(path: Path) -> FileStamp | None:
    """Return the stamp of a file, None for one that can't be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
