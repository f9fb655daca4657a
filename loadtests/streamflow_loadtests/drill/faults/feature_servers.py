"""Faults of feature servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamflow_loadtests.bed.bed import FEATURE_SERVERS
from streamflow_loadtests.bed.processes import frozen, healthy, killed, restarted, workers
from streamflow_loadtests.drill.fault import OUT_OF_TIME, OUTAGE, Fault, Scene


@asynccontextmanager
async def _rolled(scene: Scene) -> AsyncIterator[None]:
    servers = scene.bed.servers
    for name in FEATURE_SERVERS:
        await restarted(servers, name)
        # The next one ends as soon as this one says that it is well, whether any gateway has noticed or not.
        await healthy(servers.port(name))
    yield


FAULTS = (
    Fault(
        name="a feature server killed",
        inject=lambda scene: killed(scene.bed.servers, FEATURE_SERVERS[0], for_s=2.0),
    ),
    Fault(
        name="feature servers restarted in turn",
        inject=_rolled,
    ),
    Fault(
        name="a feature server frozen",
        inject=lambda scene: frozen(workers(scene.bed.servers, FEATURE_SERVERS[0]), for_s=3.0),
        may_fail_as=OUT_OF_TIME,
    ),
    Fault(
        name="all feature servers frozen",
        inject=lambda scene: frozen(
            [worker for name in FEATURE_SERVERS for worker in workers(scene.bed.servers, name)], for_s=3.0
        ),
        may_fail_as=OUTAGE,
    ),
)
