"""The steps of `make up`: progress on the terminal, details in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class StepError(Exception):
    """A step failed; the message names the step, the reason and the log."""


class Steps:
    """Prints each step when it starts and when it ends, and writes the details to a log."""

    def __init__(self, out: TextIO, log: Path) -> None:
        """Create steps that print to `out` and append details to `log`."""
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
        """Print a line under the current step, and append the line to the log."""
        self.say(f"         {text}")
        self.detail(text)

    @contextmanager
    def step(self, title: str, *, log: Path | None = None) -> Iterator[None]:
        """Print a step; an exception in the block becomes a StepError that names the step and its log."""
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
