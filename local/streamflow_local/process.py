"""What a process of the stack is: a command, the user it runs as, how it is stopped."""

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """One process of the stack, however it is run: under the supervisor, or as a test's own child."""

    name: str
    """The supervisor's name for it, and of its log, `NAME.log`."""

    command: tuple[str, ...]
    """The program's absolute path and its arguments."""

    user: str | None = None
    """The system user to run as; None for the caller's."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """What is added to the inherited environment."""

    directory: Path | None = None
    """The working directory; None for the caller's."""

    stop_signal: signal.Signals = signal.SIGTERM
    """The signal that ends it cleanly."""

    stop_timeout_s: int = 20
    """How long a clean end may take before it is killed."""

    port: int | None = None
    """The loopback TCP port that it listens on; None when it listens on a socket."""


# What importing Feast puts into this process's environment (its metrics.py): every process that inherits it keeps its
# own metrics in files, at several times the cost.
_NOT_INHERITED = frozenset({"PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR"})


def inheritable(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of this process's environment the stack's processes inherit."""
    return {name: value for name, value in environment.items() if name not in _NOT_INHERITED}


def spawn(spec: ProcessSpec, *, environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a process as a child of this one, both its outputs into `log`; `environment` is the inherited part."""
    return subprocess.Popen(  # noqa: S603  # the command is the stack's own
        spec.command,
        env={**inheritable(environment), **spec.environment},
        cwd=spec.directory,
        user=spec.user,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


def stop(process: subprocess.Popen[bytes], spec: ProcessSpec) -> int:
    """End a process cleanly, kill it when that takes longer than `stop_timeout_s`, and return its exit code."""
    if process.poll() is None:
        process.send_signal(spec.stop_signal)
        try:
            process.wait(spec.stop_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
