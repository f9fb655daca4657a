"""A disk that is full for the logs.

A stack under the supervisor, as `make up` starts it, on the bed's stores. Its log files are links to /dev/full, which
answers every write as a full disk does. One of its feature servers is killed, so that there is something to log.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from streamflow_local import ports, stack
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.supervisor import Supervisor

from streamflow_loadtests.bed.bed import Bed, BedError
from streamflow_loadtests.bed.data import FEATURE_SERVICE
from streamflow_loadtests.bed.processes import becomes, healthy
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.grpc_stubs import GatewayStub
from streamflow_loadtests.drill.fault import Fault, Scene
from streamflow_loadtests.drill.faults.gateways import ready

_SHUTDOWN_TIMEOUT_S = 60.0
_RESTART_TIMEOUT_S = 30.0


def _layout(bed: Bed) -> Layout:
    return Layout(bed.work / "full-disk")


@asynccontextmanager
async def _supervised(bed: Bed) -> AsyncIterator[Caller]:
    grpc_port, http_port = ports.free_ports(2)
    config = StackConfig.of_environment(
        {
            "GATEWAY_GRPC_PORT": str(grpc_port),
            "GATEWAY_HTTP_PORT": str(http_port),
            "FEATURE_SERVER_PORT": str(ports.free_ports_in_a_row(2)),
            "POSTGRES_URL": bed.postgres_url,
            "REDIS_URL": bed.redis_url,
        }
    )
    layout = _layout(bed)
    specs = stack.processes(config, layout, feast={})
    layout.logs.mkdir(parents=True)
    config.save(layout)
    for name in ("supervisord", *(spec.name for spec in specs)):
        (layout.logs / f"{name}.log").symlink_to("/dev/full")
    supervisor = Supervisor(layout)
    await asyncio.to_thread(supervisor.start, specs, environment=bed.supervisor_environment)
    try:
        for spec in specs:
            await asyncio.to_thread(supervisor.start_process, spec.name)
        for port in config.feature_servers().values():
            await healthy(port)
        if not await ready(grpc_port):
            raise BedError("a stack whose logs can't be written does not become ready")
        caller = GatewayStub(grpc_port, feature_service=FEATURE_SERVICE)
        try:
            with bed.with_gateway("gateway-full-disk", http_port=http_port):
                yield caller
        finally:
            await caller.close()
    finally:
        await asyncio.to_thread(supervisor.shutdown, timeout_s=_SHUTDOWN_TIMEOUT_S)


@asynccontextmanager
async def _feature_server_killed(scene: Scene) -> AsyncIterator[None]:
    supervisor = Supervisor(_layout(scene.bed))
    before = {process.name: process for process in supervisor.processes()}
    first = next(name for name in before if name.startswith("feature-server"))
    master = psutil.Process(before[first].pid)
    for member in [*master.children(recursive=True), master]:
        member.kill()

    async def back() -> bool:
        process = await asyncio.to_thread(supervisor.process, first)
        return process.state == "RUNNING" and process.pid != before[first].pid

    scene.expect(await becomes(back, timeout_s=_RESTART_TIMEOUT_S), f"{first} was not started again")
    await healthy(StackConfig.load(_layout(scene.bed)).feature_servers()[first])
    after = {process.name: process for process in supervisor.processes()}
    scene.expect(all(process.state == "RUNNING" for process in after.values()), f"not all of {after} run")
    scene.expect(after["gateway"].pid == before["gateway"].pid, "the gateway was started again")
    yield


FAULTS = (
    Fault(
        name="disk full for logs",
        stage=_supervised,
        inject=_feature_server_killed,
    ),
)
