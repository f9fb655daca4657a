"""The processes of a run: started as children, ended by pid."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from streamflow_local.process import ProcessSpec, spawn, stop

# What would make a server differ from one started by hand.
_OURS = ("GATEWAY_", "FEAST_", "GRPC_ENABLE_FORK_SUPPORT", "PYTHONOPTIMIZE")


def inherited() -> dict[str, str]:
    """Return what servers inherit of this process's environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


class Servers:
    """The processes of a run; leaving the block ends them, the last started first, with all that they started."""

    def __init__(self, logs: Path) -> None:
        """Write each process's output to `logs`/NAME.log."""
        self.logs = logs
        self._ends = ExitStack()
        self._processes: dict[str, psutil.Process] = {}
        self._started: dict[str, tuple[ProcessSpec, Mapping[str, str]]] = {}
        self._stops: dict[str, Callable[[], None]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.close()

    def start(self, spec: ProcessSpec, *, environment: Mapping[str, str] | None = None) -> None:
        """Start a process; `environment` is added to this process's own."""
        self._started[spec.name] = spec, environment or {}
        with (self.logs / f"{spec.name}.log").open("ab") as log:
            child = spawn(spec, environment={**inherited(), **(environment or {})}, log=log)
        process = psutil.Process(child.pid)
        self._processes[spec.name] = process

        def end() -> None:
            started = _descendants(process)
            stop(child, spec)
            for left in started:
                if left.is_running():
                    left.kill()

        self._stops[spec.name] = end
        self._ends.callback(end)

    def stop(self, name: str) -> None:
        """End a process as its spec says, and what it leaves behind; return when it has ended."""
        self._stops[name]()

    def runs(self, name: str) -> bool:
        """Return whether a started process has not ended."""
        process = self._processes[name]
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

    def restart(self, name: str) -> None:
        """Start a process that has ended again, as it was started first."""
        spec, environment = self._started[name]
        self.start(spec, environment=environment)

    def port(self, name: str) -> int:
        """Return the port that a started process listens on; raise ValueError for one that listens on a socket."""
        port = self._started[name][0].port
        if port is None:
            raise ValueError(f"{name} listens on no port")
        return port

    def log_end(self, name: str) -> str:
        """Return the last of what a process has written."""
        return (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-1500:]

    def process(self, name: str) -> psutil.Process:
        """Return a started process by its spec's name."""
        return self._processes[name]


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
