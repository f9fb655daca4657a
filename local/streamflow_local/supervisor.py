"""One supervisord over all processes of the stack: its configuration, its start, its remote interface."""

import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from streamflow_local.layout import Layout
from streamflow_local.process import ProcessSpec, inheritable

_START_TIMEOUT_S = 15
_LOG_BYTES = 20 * 1024 * 1024
_LOG_BACKUPS = 2
_ALREADY_STARTED = 60
_NOT_RUNNING = 70


class SupervisorError(Exception):
    """The supervisor can't be started, or would not do what it was asked; the message says why."""


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor knows of a process."""

    name: str

    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF (it ended early and is started again), EXITED or FATAL (given up)."""

    pid: int | None
    log: Path

    @property
    def ended(self) -> bool:
        """Whether it ended by itself, or could not be started."""
        return self.state in {"BACKOFF", "EXITED", "FATAL"}


class Supervisor:
    """A stack's supervisor, running or not."""

    def __init__(self, layout: Layout) -> None:
        """Take the folders of the stack."""
        self._layout = layout

    @property
    def _proxy(self) -> Any:
        # One for each call: a transport whose connection failed once never recovers. Its address is never used.
        return xmlrpc.client.ServerProxy(
            "http://127.0.0.1",
            transport=SupervisorTransport(None, None, f"unix://{self._layout.supervisor_socket}"),
        )

    @property
    def running(self) -> bool:
        """Whether it answers on its socket."""
        try:
            self._proxy.supervisor.getState()
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self, specs: Sequence[ProcessSpec], *, environment: Mapping[str, str]) -> None:
        """Start the supervisor, and none of its processes yet; they inherit `environment`. Raises SupervisorError."""
        layout = self._layout
        layout.logs.mkdir(parents=True, exist_ok=True)
        layout.run.mkdir(parents=True, exist_ok=True)
        layout.supervisor_config.write_text(_config(specs, layout), encoding="utf-8")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_config)]
        result = subprocess.run(  # noqa: S603  # from this environment
            command, env=inheritable(environment), cwd=layout.checkout, check=False, capture_output=True, text=True
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.running:
            if result.returncode or time.monotonic() > deadline:
                log = layout.logs / "supervisord.log"
                raise SupervisorError(
                    f"supervisord did not start: {result.stderr.strip() or 'no word of why'}; see {log}"
                )
            time.sleep(0.05)

    def start_process(self, name: str) -> None:
        """Start a process unless it runs; returns before it is ready."""
        try:
            self._proxy.supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise SupervisorError(f"{name} could not be started: {fault.faultString}") from fault

    def stop_process(self, name: str) -> None:
        """Stop a process and wait until it has ended."""
        try:
            self._proxy.supervisor.stopProcess(name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise SupervisorError(f"{name} could not be stopped: {fault.faultString}") from fault

    def processes(self) -> list[ProcessState]:
        """Return every process of the running supervisor."""
        return [
            ProcessState(info["name"], info["statename"], info["pid"] or None, Path(info["stdout_logfile"]))
            for info in self._proxy.supervisor.getAllProcessInfo()
        ]

    def process(self, name: str) -> ProcessState:
        """Return one process of the running supervisor."""
        return next(state for state in self.processes() if state.name == name)

    def shutdown(self, *, timeout_s: float) -> None:
        """End the supervisor, once every process has been stopped. Raises SupervisorError after `timeout_s`."""
        self._proxy.supervisor.shutdown()
        deadline = time.monotonic() + timeout_s
        while self.running or self._layout.supervisor_socket.exists():
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord did not end; see {self._layout.logs / 'supervisord.log'}")
            time.sleep(0.05)


def _config(specs: Sequence[ProcessSpec], layout: Layout) -> str:
    sections: list[tuple[str, Mapping[str, object]]] = [
        ("unix_http_server", {"file": layout.supervisor_socket, "chmod": "0600"}),
        (
            "supervisord",
            {
                "logfile": layout.logs / "supervisord.log",
                "pidfile": layout.run / "supervisord.pid",
                "childlogdir": layout.logs,
                "loglevel": "info",
                # Without it, supervisord warns that it runs as root.
                **({"user": "root"} if os.geteuid() == 0 else {}),
            },
        ),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        *((f"program:{spec.name}", _program(spec, layout, priority)) for priority, spec in enumerate(specs, start=1)),
    ]
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {_escaped(value)}\n" for key, value in values.items())
        for name, values in sections
    )


def _program(spec: ProcessSpec, layout: Layout, priority: int) -> dict[str, object]:
    program: dict[str, object] = {
        "command": shlex.join(spec.command),
        "autostart": "false",
        "autorestart": "true",
        # Stopped in reverse order of this.
        "priority": priority,
        "startsecs": 1,
        "startretries": 3,
        "stopsignal": spec.stop_signal.name.removeprefix("SIG"),
        "stopwaitsecs": spec.stop_timeout_s,
        # A master that had to be killed takes its workers along.
        "killasgroup": "true",
        "stdout_logfile": layout.logs / f"{spec.name}.log",
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": _LOG_BACKUPS,
        "redirect_stderr": "true",
    }
    if spec.user is not None:
        program["user"] = spec.user
    if spec.directory is not None:
        program["directory"] = spec.directory
    if spec.environment:
        program["environment"] = ",".join(f"{name}={_quoted(value)}" for name, value in spec.environment.items())
    return program


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")
