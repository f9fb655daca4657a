"""supervisord, which runs all processes of a stack: its configuration, its start, its XML-RPC interface."""

import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from streamflow_local.layout import Layout
from streamflow_local.private_file import write_private
from streamflow_local.process import ProcessSpec, inheritable

_START_TIMEOUT_S = 15
_POLL_S = 0.05
_LOG_BYTES = 20 * 1024 * 1024
_LOG_BACKUPS = 2
_ALREADY_STARTED = 60
_NOT_RUNNING = 70


class SupervisorError(Exception):
    """The supervisor does not start, or refuses a command; the message says why."""


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor knows about a process."""

    name: str

    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF (ended early, is restarted), EXITED or FATAL (is not restarted)."""

    pid: int | None
    log: Path


class Supervisor:
    """The supervisor of a stack, whether it runs or not."""

    def __init__(self, layout: Layout) -> None:
        """Create the supervisor of the stack in a layout."""
        self._layout = layout

    def _call(self, method: str, *arguments: object) -> Any:
        # A new connection for each call: a transport never recovers from a failed one. The URL is not used.
        transport = SupervisorTransport(None, None, f"unix://{self._layout.supervisor_socket}")
        with closing(transport):
            proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)

    @property
    def running(self) -> bool:
        """Whether the supervisor answers on its socket."""
        try:
            self._call("getState")
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start(self, specs: Sequence[ProcessSpec], *, environment: Mapping[str, str]) -> None:
        """Start the supervisor, but no process yet; processes inherit `environment`. Raises SupervisorError."""
        layout = self._layout
        layout.logs.mkdir(parents=True, exist_ok=True)
        layout.run.mkdir(parents=True, exist_ok=True)
        write_private(layout.supervisor_config, _config(specs, layout))
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_config)]
        result = subprocess.run(  # noqa: S603  # from this environment
            command, env=inheritable(environment), cwd=layout.checkout, check=False, capture_output=True, text=True
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.running:
            if result.returncode or time.monotonic() > deadline:
                reason = result.stderr.strip() or "no error message"
                raise SupervisorError(f"supervisord did not start: {reason}; see {layout.log('supervisord')}")
            time.sleep(_POLL_S)

    def start_process(self, name: str) -> None:
        """Start a process unless it runs; return before the process is ready."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise SupervisorError(f"{name} could not be started: {fault.faultString}") from fault

    def stop_process(self, name: str) -> None:
        """Stop a process and wait until it has ended."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise SupervisorError(f"{name} could not be stopped: {fault.faultString}") from fault

    def processes(self) -> list[ProcessState]:
        """Return every process of the running supervisor."""
        return [
            ProcessState(info["name"], info["statename"], info["pid"] or None, Path(info["stdout_logfile"]))
            for info in self._call("getAllProcessInfo")
        ]

    def process(self, name: str) -> ProcessState:
        """Return one process of the running supervisor."""
        return next(state for state in self.processes() if state.name == name)

    def shutdown(self, *, timeout_s: float) -> None:
        """Stop all processes, then the supervisor. Raises SupervisorError after `timeout_s`."""
        self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        while self.running or self._layout.supervisor_socket.exists():
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord did not stop; see {self._layout.log('supervisord')}")
            time.sleep(_POLL_S)


def _config(specs: Sequence[ProcessSpec], layout: Layout) -> str:
    sections: list[tuple[str, Mapping[str, object]]] = [
        ("unix_http_server", {"file": layout.supervisor_socket, "chmod": "0600"}),
        (
            "supervisord",
            {
                "logfile": layout.log("supervisord"),
                "pidfile": layout.run / "supervisord.pid",
                "childlogdir": layout.logs,
                "loglevel": "info",
                # Without this, supervisord warns that it runs as root.
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
        # Processes stop in the reverse order.
        "priority": priority,
        "startsecs": 1,
        "startretries": 3,
        "stopsignal": spec.stop_signal.name.removeprefix("SIG"),
        "stopwaitsecs": spec.stop_timeout_s,
        # If a master has to be killed, its workers are killed too.
        "killasgroup": "true",
        "stdout_logfile": layout.log(spec.name),
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
