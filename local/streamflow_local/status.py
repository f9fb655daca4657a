"""`make status`: each process with pid, port and health."""

from dataclasses import asdict, dataclass

from streamflow_local import health
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.supervisor import Supervisor


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """One process of a stack."""

    name: str
    state: str
    pid: int | None
    port: int | None
    healthy: bool

    detail: str
    """Why it is not healthy; empty when it is."""

    log: str


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """A whole stack."""

    running: bool
    """Whether its supervisor runs."""

    processes: tuple[ProcessStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether the stack runs and each of its processes does its work."""
        return self.running and all(process.healthy for process in self.processes)

    def as_json(self) -> dict[str, object]:
        """Return the status for programs."""
        return {**asdict(self), "healthy": self.healthy}


def status(layout: Layout) -> StackStatus:
    """Return the status of the stack in a layout; of one that does not run there are no processes."""
    supervisor = Supervisor(layout)
    if not supervisor.running:
        return StackStatus(running=False, processes=())
    config = StackConfig.load(layout.started_with)
    ports = config.process_ports()
    processes = []
    for process in supervisor.processes():
        reason = health.check(process.name, config, layout) if process.pid else process.state.lower()
        processes.append(
            ProcessStatus(
                name=process.name,
                state=process.state,
                pid=process.pid,
                port=ports.get(process.name),
                healthy=reason is None,
                detail=reason or "",
                log=str(process.log),
            )
        )
    # Supervisord lists them by name; here they stand in the order in which they start.
    order = ["postgres", *ports]
    processes.sort(key=lambda process: order.index(process.name))
    return StackStatus(running=True, processes=tuple(processes))
