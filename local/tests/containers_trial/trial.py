"""podman, and a line for each thing that holds or does not."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from commands import CommandError, run

PROJECT = "streamflow-trial"
"""What the names of all that the trial starts begin with."""

_POLL_S = 0.2


@dataclass
class Trial:
    """What is run with podman, and what came of it."""

    podman_command: Sequence[str]
    held: int = 0
    failed: list[str] = field(default_factory=list)

    def podman(self, *arguments: str, timeout_s: float = 600) -> str:
        """Return what podman prints; raise CommandError."""
        return run([*self.podman_command, *arguments], timeout_s=timeout_s).strip()

    def succeeds(self, *arguments: str) -> bool:
        """Return whether podman exits 0, and does so soon."""
        try:
            self.podman(*arguments, timeout_s=20)
        except CommandError:
            return False
        return True

    def inside(self, container: str, *command: str) -> str:
        """Return what a command prints in a running container; raise CommandError."""
        return self.podman("exec", container, *command)

    def inspect(self, container: str, template: str) -> str:
        """Return what a Go template makes of a container; raise CommandError."""
        return self.podman("inspect", "--type", "container", "--format", template, container)

    def state(self, container: str) -> tuple[str, int]:
        """Return a container's status and exit code."""
        status, code = self.inspect(container, "{{.State.Status}} {{.State.ExitCode}}").split()
        return status, int(code)

    def healthy(self, container: str) -> bool:
        """Return whether a container's own health check succeeds."""
        return self.succeeds("healthcheck", "run", container)

    def say(self, text: str) -> None:
        """Print a line at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def check(self, sentence: str, *, holds: bool, saw: object = "") -> None:
        """Say whether a sentence holds, and with what was seen."""
        self.say(f"{'ok    ' if holds else 'FAILED'}  {sentence}{f': {saw}' if saw != '' else ''}")
        if holds:
            self.held += 1
        else:
            self.failed.append(sentence)

    def wait(self, sentence: str, condition: Callable[[], bool], *, timeout_s: float = 600) -> None:
        """Say whether a sentence comes to hold, and after how long."""
        started = time.monotonic()
        while not (holds := condition()) and time.monotonic() - started < timeout_s:
            time.sleep(_POLL_S)
        self.check(sentence, holds=holds, saw=f"after {time.monotonic() - started:.1f} s")

    def wait_until_healthy(self, name: str, container: str) -> None:
        """Wait for a container's own health check to succeed."""
        self.wait(f"{name}'s health check succeeds", lambda: self.healthy(container))

    def wait_until_done(self, name: str, container: str) -> None:
        """Wait for a job's container to end well."""
        self.wait(f"{name} ends with 0", lambda: self.state(container) == ("exited", 0))

    def check_ended(self, name: str, container: str, *, within_s: float, took_s: float) -> None:
        """Say whether a container that was told to end did so by itself."""
        code = self.state(container)[1]
        self.check(
            f"{name} ends at SIGTERM with 0, within {within_s:g} s", holds=code == 0, saw=f"{code}, {took_s:.1f} s"
        )
