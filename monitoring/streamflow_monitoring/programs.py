"""Prometheus' programs, which no registry of Python packages has: on the PATH, or of Debian's packages."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamflow_loadtests.bed.processes import listening
from streamflow_loadtests.bed.servers import Servers
from streamflow_local import ports
from streamflow_local.debian import debian_program
from streamflow_local.layout import Layout
from streamflow_local.process import ProcessSpec

PROMETHEUS = "prometheus"
PROMTOOL = "promtool"
PUSHGATEWAY = "prometheus-pushgateway"

_PACKAGES = {PROMETHEUS: "prometheus", PROMTOOL: "prometheus", PUSHGATEWAY: "prometheus-pushgateway"}


def program(name: str) -> Path:
    """Return a program's path; Debian's packages are kept in `.local/debian`. Raises FileNotFoundError."""
    package = _PACKAGES[name]
    found = debian_program(package, name, kept=Layout.of_environment(os.environ).state / "debian")
    if found is None:
        raise FileNotFoundError(f"there is no {name} on the PATH, and apt-get can't download Debian's {package}")
    return found


@asynccontextmanager
async def pushgateway(folder: Path) -> AsyncIterator[str]:
    """Run a Pushgateway for the length of the block, yield its URL, and have jobs of this process push there."""
    port, variable = ports.free_port(), "PROMETHEUS_PUSHGATEWAY_URL"
    command = (str(program(PUSHGATEWAY)), f"--web.listen-address=127.0.0.1:{port}")
    before = os.environ.get(variable)
    with Servers(folder) as servers:
        servers.start(ProcessSpec(name="pushgateway", command=command, port=port))
        await listening(port)
        os.environ[variable] = url = f"http://127.0.0.1:{port}"
        try:
            yield url
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before
