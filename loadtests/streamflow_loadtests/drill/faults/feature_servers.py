"""Faults of feature servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from streamflow_loadtests.bed.bed import FEATURE_SERVERS, Bed
from streamflow_loadtests.bed.processes import frozen, healthy, killed, listening, restarted, workers
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.drill.fault import OUT_OF_TIME, OUTAGE, Fault, Scene

_NAMED_GATEWAY = "gateway-names"
_NAME = "feature-servers.drill"
_ADDRESSES = ("127.0.0.1", "127.0.0.2")
_WAYS = [f"address-of-{name}" for name in FEATURE_SERVERS]
_DNS_INTERVAL_S = 0.5
_HUNG_CALLERS = 8
_HUNG_TIMEOUT_S = 25.0
_HANGS_S = 2.0


@asynccontextmanager
async def _rolled(scene: Scene) -> AsyncIterator[None]:
    servers = scene.bed.servers
    for name in FEATURE_SERVERS:
        await restarted(servers, name)
        # The next one ends as soon as this one says that it is well, whether any gateway has noticed or not.
        await healthy(servers.port(name))
    yield


@asynccontextmanager
async def _behind_a_name(bed: Bed) -> AsyncIterator[Caller]:
    """Start a gateway that knows its feature servers by one DNS name, an address on one port for each."""
    port = None
    for way, server, address in zip(_WAYS, FEATURE_SERVERS, _ADDRESSES, strict=True):
        port = bed.start_delay(way, to=server, delay_ms=0, host=address, port=port)
    async with bed.ending(*_WAYS):
        await listening(bed.servers.port(_WAYS[0]))
        _name(bed, *_ADDRESSES)
        settings = {
            "GATEWAY_FEATURE_SERVER_URLS": f"dns+http://{_NAME}:{port}",
            "GATEWAY_DNS_INTERVAL_S": str(_DNS_INTERVAL_S),
        }
        bed.start_gateway(_NAMED_GATEWAY, settings=settings, hosts=_hosts(bed))
        async with bed.ending(_NAMED_GATEWAY), bed.asking(_NAMED_GATEWAY) as caller:
            yield caller


def _name(bed: Bed, *addresses: str) -> None:
    # In place: the gateway's /etc/hosts is this file, not its name.
    with _hosts(bed).open("w", encoding="utf-8") as hosts:
        hosts.writelines(
            f"{address} {name}\n" for address, name in [("127.0.0.1", "localhost"), *((a, _NAME) for a in addresses)]
        )


def _hosts(bed: Bed) -> Path:
    return bed.work / "hosts"


@asynccontextmanager
async def _gone_while_it_hangs(scene: Scene) -> AsyncIterator[None]:
    """Freeze a feature server, have it hold reads of long deadlines, and take its address from the name."""
    bed = scene.bed
    frozen_workers = workers(bed.servers, FEATURE_SERVERS[1])
    for worker in frozen_workers:
        worker.suspend()
    try:
        async with asyncio.TaskGroup() as holding:
            held = [holding.create_task(_hold(scene)) for _ in range(_HUNG_CALLERS)]
            await asyncio.sleep(scene.lasting(_HANGS_S))
            _name(bed, _ADDRESSES[0])
            await asyncio.sleep(2 * _DNS_INTERVAL_S + scene.load.timeout_s)
            answered, ended = await scene.outcomes(for_s=_HANGS_S)
            scene.expect(answered == ended, f"{ended - answered} of {ended} calls failed beside a server that is gone")
            for task in held:
                task.cancel()
    finally:
        for worker in frozen_workers:
            with suppress(psutil.NoSuchProcess):
                worker.resume()
        _name(bed, *_ADDRESSES)
    yield


async def _hold(scene: Scene) -> None:
    """Call again and again with a deadline that outlasts the fault."""
    async with scene.bed.asking(_NAMED_GATEWAY) as caller:
        while True:
            with suppress(CallError):
                await caller.ask([next(iter(scene.load.answers))], timeout_s=_HUNG_TIMEOUT_S)


FAULTS = (
    Fault(
        name="a feature server killed",
        inject=lambda scene: killed(scene.bed.servers, FEATURE_SERVERS[0], for_s=scene.lasting(2.0)),
    ),
    Fault(
        name="feature servers restarted in turn",
        inject=_rolled,
    ),
    Fault(
        name="a feature server frozen",
        inject=lambda scene: frozen(workers(scene.bed.servers, FEATURE_SERVERS[0]), for_s=scene.lasting(3.0)),
        may_fail_as=OUT_OF_TIME,
    ),
    Fault(
        name="all feature servers frozen",
        inject=lambda scene: frozen(
            [worker for name in FEATURE_SERVERS for worker in workers(scene.bed.servers, name)],
            for_s=scene.lasting(3.0),
        ),
        may_fail_as=OUTAGE,
    ),
    Fault(
        name="a feature server gone from DNS while it hangs",
        stage=_behind_a_name,
        inject=_gone_while_it_hangs,
        may_fail_as=OUT_OF_TIME,
    ),
)
