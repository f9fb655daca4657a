"""All faults, in the order in which they are done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamflow_loadtests.drill.fault import Fault, Scene
from streamflow_loadtests.drill.faults import callers, changes, clock, feature_servers, full_disk, gateways, stores

__all__ = ["FAULTS", "Fault"]

_NOTHING_S = 3.0


@asynccontextmanager
async def _nothing(_scene: Scene) -> AsyncIterator[None]:
    await asyncio.sleep(_NOTHING_S)
    yield


FAULTS: tuple[Fault, ...] = (
    # What fails here, or is late, is the machine's doing.
    Fault(name="nothing", inject=_nothing),
    *feature_servers.FAULTS,
    *stores.FAULTS,
    *gateways.FAULTS,
    *callers.FAULTS,
    *clock.FAULTS,
    *changes.FAULTS,
    *full_disk.FAULTS,
)
