"""podman and podman-compose, and a line for each thing that holds or does not."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
PROJECT = "streamflow-trial"
_POLL_S = 0.5
_SHOWN_CHARACTERS = 3000


class CommandError(Exception):
    """A command that the trial needs has failed; the message has the end of its output."""


@dataclass
class Trial:
    """The containers of one trial, and what came of it."""

    podman_command: Sequence[str]
    compose_command: Sequence[str]
    environment: Mapping[str, str]
    url: str
    failed: list[str] = field(default_factory=list)

    def podman(self, *arguments: str, timeout_s: float = 600) -> str:
        """Return what podman prints; raise CommandError."""
        return run([*self.podman_command, *arguments], timeout_s=timeout_s).strip()

    def succeeds(self, *arguments: str) -> bool:
        """Return whether podman exits 0, and does so soon."""
        try:
            self.podman(*arguments, timeout_s=20)
        except (CommandError, subprocess.TimeoutExpired):
            return False
        return True

    def start(self, *services: str) -> None:
        """Start services as docker-compose.yml has them, whatever they depend on."""
        for service in services:
            self._compose("up", "-d", "--no-deps", "--no-build", service)

    def down(self) -> None:
        """Remove containers, networks and volumes of this trial or an earlier one."""
        self._compose("--profile", "ui", "--profile", "orchestration", "down", "--volumes")
        for volume in self.podman("volume", "ls", "--quiet", "--filter", f"name=^{PROJECT}_").split():
            self.podman("volume", "rm", "--force", volume)

    def inside(self, service: str, *command: str) -> str:
        """Return what a command prints in a running container; raise CommandError."""
        return self.podman("exec", container(service), *command)

    def answer(self) -> dict[str, Any]:
        """Return the gateway's answer for a user, empty if there is none."""
        try:
            with urllib.request.urlopen(self.url, timeout=3) as response:  # noqa: S310  # http by construction
                body: dict[str, Any] = json.load(response)
                return body
        except OSError:
            return {}

    def state(self, service: str) -> tuple[str, int]:
        """Return a container's status and exit code."""
        status, code = self.podman(
            "inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", container(service)
        ).split()
        return status, int(code)

    def healthy(self, service: str) -> bool:
        """Return whether a container's own health check succeeds."""
        return self.succeeds("healthcheck", "run", container(service))

    def say(self, text: str) -> None:
        """Print a line at once."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def check(self, sentence: str, *, holds: bool, saw: object = "") -> None:
        """Say whether a sentence holds, and with what was seen."""
        self.say(f"{'ok    ' if holds else 'FAILED'}  {sentence}{f': {saw}' if saw else ''}")
        if not holds:
            self.failed.append(sentence)

    def wait(self, sentence: str, condition: Callable[[], bool], *, timeout_s: float = 240) -> None:
        """Say whether a sentence comes to hold, and after how long."""
        started = time.monotonic()
        while not (holds := condition()) and time.monotonic() - started < timeout_s:
            time.sleep(_POLL_S)
        self.check(sentence, holds=holds, saw=f"after {time.monotonic() - started:.1f} s")

    def wait_until_answered(self) -> None:
        """Wait for an answer that knows the user."""
        self.wait("a call is answered", lambda: self.answer().get("user_known") is True)

    def wait_until_healthy(self, service: str) -> None:
        """Wait for a container's health check to succeed."""
        self.wait(f"{service} is healthy", lambda: self.healthy(service))

    def wait_until_done(self, service: str) -> None:
        """Wait for a job to end well."""
        self.wait(f"{service} ends with 0", lambda: self.state(service) == ("exited", 0))

    def _compose(self, *arguments: str) -> None:
        run([*self.compose_command, *arguments], timeout_s=600, environment=self.environment)


def container(service: str) -> str:
    """Return the name that podman-compose gives a service's container."""
    return f"{PROJECT}_{service}_1"


def run(command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints on standard output; raise CommandError."""
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, check=False, capture_output=True, text=True, timeout=timeout_s
    )
    if result.returncode:
        said = f"{result.stdout[-_SHOWN_CHARACTERS:]}\n{result.stderr[-_SHOWN_CHARACTERS:]}"
        raise CommandError(f"{' '.join(command)} failed:\n{said}")
    return result.stdout
