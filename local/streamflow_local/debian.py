"""Programs that tests run and no registry of Python packages has: on the PATH, or unpacked from Debian's package."""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

_TIMEOUT_S = 300


def debian_program(package: str, program: str, *, kept: Path) -> Path | None:
    """Return a program on the PATH, otherwise of a Debian package; None if there is neither.

    The program has to run without what its package depends on. See `unpacked`.
    """
    found = shutil.which(program)
    if found is not None:
        return Path(found)
    root = unpacked(package, kept=kept)
    path = root / "usr/bin" / program if root else None
    return path if path and path.is_file() else None


def unpacked(package: str, *, kept: Path, with_missing: bool = False) -> Path | None:
    """Return a folder with what a Debian package installs; None where Debian's packages can't be fetched.

    `with_missing` unpacks what this machine lacks for the package too. The folder is in `kept`, where later calls find
    it. Nothing is installed, and the machine's own lists of packages stay as they are.
    """
    target = kept / package
    if not target.is_dir() and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept, prefix=f"{package}-") as name:
            folder = Path(name)
            for file in _fetched(package, folder, with_missing=with_missing):
                _run("dpkg-deb", "--extract", str(file), "root", folder=folder)
            with suppress(OSError):  # another process was faster, or there is nothing
                (folder / "root").rename(target)
    return target if target.is_dir() else None


def _fetched(package: str, folder: Path, *, with_missing: bool) -> list[Path]:
    """Return the package's file, and with `with_missing` those of what it needs; nothing if one can't be fetched."""
    (folder / "lists/partial").mkdir(parents=True)
    # Only this user may read the folder, so apt's own user can't fetch into it.
    own = ("-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root")
    if _run("apt-get", *own, "update", folder=folder) is None:
        return []
    packages = [package]
    if with_missing:
        plan = _run("apt-get", *own, "install", "--simulate", "--no-install-recommends", package, folder=folder) or ""
        packages = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    if not packages or _run("apt-get", *own, "download", *packages, folder=folder) is None:
        return []
    return [*folder.glob("*.deb")]


def _run(*command: str, folder: Path) -> str | None:
    """Return what a command prints; None when it fails."""
    ran = subprocess.run(  # noqa: S603  # Debian's tools, with the packages that a test names
        command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    return ran.stdout if ran.returncode == 0 else None
