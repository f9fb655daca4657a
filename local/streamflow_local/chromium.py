"""Chromium for tests of pages: the one on the PATH, or Debian's, unpacked with the libraries that the machine lacks."""

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from streamflow_local.debian import unpacked


@dataclass(frozen=True)
class Chromium:
    """A browser's program, and the variables that it needs."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Browser]:
        """Run it without a window for the length of a block."""
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=self.path, env={**os.environ, **self.variables})
            try:
                yield browser
            finally:
                await browser.close()


def chromium(*, kept: Path) -> Chromium | None:
    """Return Chromium; None if it is not on the PATH and Debian's packages can't be fetched. See `unpacked`."""
    found = shutil.which("chromium")
    if found is not None:
        return Chromium(Path(found))
    root = unpacked("chromium", kept=kept, with_missing=True)
    if root is None:
        return None
    # /usr/bin/chromium is a script that looks for its program where it would be installed.
    program = root / "usr/lib/chromium/chromium"
    folders = [folder for pattern in ("*", "*/pulseaudio") for folder in (root / "usr/lib").glob(f"{pattern}/")]
    libraries = [str(folder) for folder in folders if any(folder.glob("*.so*"))]
    return Chromium(program, {"LD_LIBRARY_PATH": ":".join(libraries)})
