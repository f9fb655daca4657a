"""The steps of a command, told one by one while they run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class StepError(Exception):
    """A step failed; the message says which, why, and where its log is."""


class Steps:
    """Prints each step when it starts and how long it took, and keeps the details in a log."""

    def __init__(self, out: TextIO, log: Path) -> None:
        """Print to `out` and append details to `log`."""
        self._out = out
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self._out.write(text + "\n")
        self._out.flush()

    def detail(self, text: str) -> None:
        """Append a line to the log."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(text + "\n")

    def progress(self, text: str) -> None:
        """Print a line that belongs to the current step, and append it to the log."""
        self.say(f"         {text}")
        self.detail(text)

    @contextmanager
    def step(self, title: str, *, log: Path | None = None) -> Iterator[None]:
        """Tell of a step; an exception inside becomes a StepError that names the step and its log."""
        self.say(f"  ..     {title}")
        self.detail(f"== {title}")
        started = time.monotonic()
        try:
            yield
        except StepError:
            raise
        except Exception as error:
            self.detail(f"failed: {type(error).__name__}: {error}")
            raise StepError(f"{title}: failed\n{error}\nlog: {log or self.log}") from error
        self.say(f"  ok     {title} ({time.monotonic() - started:.1f} s)")
