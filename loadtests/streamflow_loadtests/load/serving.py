"""What the processes of the running stack have used, and how long calls were in the gateway."""

import os
import re
from dataclasses import dataclass
from typing import Self
from urllib.request import urlopen

import psutil
from streamflow_local.layout import Layout
from streamflow_local.supervisor import Supervisor

from streamflow_loadtests.load.security import Security
from streamflow_loadtests.measuring.cpu import Cpu

_DURATION = re.compile(
    r'^gateway_call_duration_seconds_(sum|count)\{method="\w*GetUserFeatures"\} (\S+)$', re.MULTILINE
)
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Serving:
    """Seconds used so far, or since a moment before."""

    cpu_s: float | None
    """CPU time of all processes of the stack; None when they are not those of `make up`."""

    in_gateway_s: float
    """The time from each gRPC call's request received to its reply made, summed up."""

    calls: float
    """How many those calls are."""

    @classmethod
    def now(cls, gateway_http: str, security: Security) -> Self:
        """Return what was used up to now. Raises OSError when the gateway's metrics can't be read."""
        url = f"{gateway_http.split(',', maxsplit=1)[0]}/metrics"
        context = security.context() if url.startswith("https:") else None
        with urlopen(url, timeout=_TIMEOUT_S, context=context) as reply:  # noqa: S310  # an option
            text = reply.read().decode()
        found = {"sum": 0.0, "count": 0.0}
        for kind, value in _DURATION.findall(text):
            found[kind] += float(value)
        supervisor = Supervisor(Layout.of_environment(os.environ))
        cpu_s = None
        if supervisor.running:
            states = supervisor.processes()
            cpu = Cpu.now({state.name: psutil.Process(state.pid) for state in states if state.pid is not None})
            cpu_s = sum(cpu.by_process.values())
        return cls(cpu_s, found["sum"], found["count"])

    def since(self, before: "Serving") -> "Serving":
        """Return what was used since a moment before."""
        cpu_s = None if self.cpu_s is None or before.cpu_s is None else self.cpu_s - before.cpu_s
        return Serving(cpu_s, self.in_gateway_s - before.in_gateway_s, self.calls - before.calls)
