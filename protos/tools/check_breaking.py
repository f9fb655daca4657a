"""Rejects a change of the protos that breaks callers: runs `buf breaking` against the main branch.

On the main branch itself, the check compares with the parent commit. A commit without protos is skipped.
"""

import subprocess
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_BUF = Path(sys.executable).parent / "buf"


def main() -> int:
    """Return buf's exit code: 0 when nothing breaks. Return 0 too when no earlier commit has protos."""
    base = _base()
    if base is None:
        sys.stdout.write("buf breaking: no earlier commit has protos to compare with\n")
        return 0
    command = [str(_BUF), "breaking", "protos", "--against", f".git#ref={base},subdir=protos"]
    return subprocess.run(command, cwd=_CHECKOUT, check=False).returncode  # noqa: S603


def _base() -> str | None:
    """Return the commit to compare with: main, or HEAD's parent when main is checked out. None: there is none."""
    head = _git("rev-parse", "HEAD")
    for candidate in ("origin/main", "main", "HEAD~1"):
        commit = _git("rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}")
        if commit and commit != head and _git("ls-tree", commit, "protos/buf.yaml"):
            return commit
    return None


def _git(*arguments: str) -> str:
    result = subprocess.run(  # noqa: S603  # git, with arguments of this file
        ["git", *arguments],  # noqa: S607  # the git on PATH
        cwd=_CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
