"""The stack's processes, without asking them anything: a look changes none of the gateway's figures."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from xmlrpc.client import Error

import psutil

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.supervisor import ProcessState, Supervisor


@dataclass(frozen=True, kw_only=True)
class ProcessLook:
    """One process with all that it started."""

    name: str
    state: str
    """RUNNING, or what the supervisor says otherwise; FROZEN when a signal has stopped it."""

    pid: int | None
    port: int | None

    cpu_s: float | None
    """CPU seconds since its start; None if it does not run."""

    memory_bytes: int | None
    up_s: float | None


def processes(config: StackConfig, layout: Layout) -> list[ProcessLook]:
    """Return the stack's processes in the order in which they start; [] if no stack runs."""
    try:
        found = Supervisor(layout).processes()
    except (OSError, Error):
        return []
    ports = config.process_ports()
    order = ["postgres", *ports]
    return [_look(state, ports.get(state.name)) for state in sorted(found, key=lambda state: order.index(state.name))]


def _look(state: ProcessState, port: int | None) -> ProcessLook:
    members = list(_members(state.pid)) if state.pid else []
    return ProcessLook(
        name=state.name,
        state="FROZEN" if any(member[0] == psutil.STATUS_STOPPED for member in members) else state.state,
        pid=state.pid,
        port=port,
        cpu_s=sum(member[1] for member in members) if members else None,
        memory_bytes=sum(member[2] for member in members) if members else None,
        up_s=time.time() - min(member[3] for member in members) if members else None,
    )


def _members(pid: int) -> Iterator[tuple[str, float, int, float]]:
    """Yield status, CPU seconds, memory and start of a process and of those that it started."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            with member.oneshot():
                times = member.cpu_times()
                cpu_s = times.user + times.system
                yield member.status(), cpu_s, member.memory_info().rss, member.create_time()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
