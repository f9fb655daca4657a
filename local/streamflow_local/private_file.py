"""Files that only their owner can read."""

from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whoever could before: it may hold passwords."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
