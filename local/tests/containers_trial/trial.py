"""podman, and one line for each check."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

PROJECT = "streamflow-trial"
"""The prefix of the names of everything that the trial starts."""

_SHOWN_CHARACTERS = 3000
_POLL_S = 0.2
_CONNECT_TIMEOUT_S = 2


class CommandError(Exception):
    """A command failed or took too long; the message contains the end of its output."""


def run(command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Return the standard output of a command; raise CommandError."""
    try:
        result = subprocess.run(
            command, cwd=CHECKOUT, env=environment, check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)} took more than {timeout_s:g} s") from error
    if result.returncode:
        output = f"{result.stdout[-_SHOWN_CHARACTERS:]}\n{result.stderr[-_SHOWN_CHARACTERS:]}"
        raise CommandError(f"{' '.join(command)} failed:\n{output.strip()}")
    return result.stdout


def leads_here(port: int) -> bool:
    """Return whether a connection to a loopback port reaches the process that listens on it.

    It does not if the port is still published for a container.
    """
    try:
        with socket.create_server(("127.0.0.1", port)) as listening:
            listening.settimeout(_CONNECT_TIMEOUT_S)
            with socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_TIMEOUT_S), listening.accept()[0]:
                return True
    except OSError:
        return False


@dataclass
class Trial:
    """Runs podman, and counts the checks that hold and that fail."""

    podman_command: Sequence[str]
    held: int = 0
    failed: list[str] = field(default_factory=list)

    def podman(self, *arguments: str, timeout_s: float = 600) -> str:
        """Return the output of podman; raise CommandError."""
        return run([*self.podman_command, *arguments], timeout_s=timeout_s).strip()

    def succeeds(self, *arguments: str) -> bool:
        """Return whether podman exits with 0 within 20 seconds."""
        try:
            self.podman(*arguments, timeout_s=20)
        except CommandError:
            return False
        return True

    def inside(self, container: str, *command: str) -> str:
        """Return the output of a command in a running container; raise CommandError."""
        return self.podman("exec", container, *command)

    def inspect(self, container: str, template: str) -> str:
        """Return a Go template of a container's description; raise CommandError."""
        return self.podman("inspect", "--type", "container", "--format", template, container)

    def say(self, text: str) -> None:
        """Print a line at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def check(self, sentence: str, *, holds: bool, saw: object = "") -> None:
        """Print whether a sentence holds, and what was seen."""
        self.say(f"{'ok    ' if holds else 'FAILED'}  {sentence}{f': {saw}' if saw != '' else ''}")
        if holds:
            self.held += 1
        else:
            self.failed.append(sentence)

    def wait(self, sentence: str, condition: Callable[[], bool], *, timeout_s: float = 600) -> None:
        """Wait for a condition, and print whether it came true and after how long."""
        started = time.monotonic()
        while not (holds := condition()) and time.monotonic() - started < timeout_s:
            time.sleep(_POLL_S)
        self.check(sentence, holds=holds, saw=f"after {time.monotonic() - started:.1f} s")

    def wait_until_healthy(self, name: str, container: str) -> None:
        """Wait for the container's own health check."""
        self.wait(f"{name}'s health check succeeds", lambda: self.succeeds("healthcheck", "run", container))

    def wait_until_done(self, name: str, container: str) -> None:
        """Wait for a job's container to exit with 0."""
        state = "{{.State.Status}} {{.State.ExitCode}}"
        self.wait(f"{name} ends with 0", lambda: self.inspect(container, state) == "exited 0")

    def check_ended(self, name: str, container: str, *, within_s: float, took_s: float) -> None:
        """Check that a container that was stopped exited with 0, and was not killed."""
        code = self.inspect(container, "{{.State.ExitCode}}")
        self.check(
            f"{name} ends at SIGTERM with 0, within {within_s:g} s", holds=code == "0", saw=f"{code}, {took_s:.1f} s"
        )
