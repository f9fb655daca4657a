"""A process of the stack: its command, its user, how it is started and stopped."""

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process of the stack. The supervisor runs it, or a test runs it as a child."""

    name: str
    """The name in the supervisor, and of the log, `NAME.log`."""

    command: tuple[str, ...]
    """The absolute path of the program, and its arguments."""

    user: str | None = None
    """The system user that the process runs as; None for the caller's user."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to the inherited environment."""

    directory: Path | None = None
    """The working directory; None for the caller's directory."""

    stop_signal: signal.Signals = signal.SIGTERM
    """The signal for a clean stop."""

    stop_timeout_s: int = 20
    """Seconds for a clean stop; after that the process is killed."""

    port: int | None = None
    """The loopback TCP port that the process listens on; None if it listens on a socket."""


# Importing Feast sets these (its metrics.py). A process that inherits them keeps its metrics in files, which costs
# several times as much.
NOT_INHERITED = frozenset({"PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"})


def inheritable(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that the processes of a stack inherit."""
    return {name: value for name, value in environment.items() if name not in NOT_INHERITED}


def spawn(spec: ProcessSpec, *, environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process as a child that inherits `environment`; stdout and stderr go to `log`."""
    return subprocess.Popen(  # noqa: S603  # a command of the stack
        spec.command,
        env={**inheritable(environment), **spec.environment},
        cwd=spec.directory,
        user=spec.user,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def stop(process: subprocess.Popen[bytes], spec: ProcessSpec) -> int:
    """Stop a process, kill it if it takes longer than `stop_timeout_s`, and return its exit code."""
    if process.poll() is None:
        process.send_signal(spec.stop_signal)
        try:
            process.wait(spec.stop_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
