"""A run: the stores, the servers, and the rounds in which every arm takes its turn."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from streamflow_loadtests.bed.bed import VALKEY, bed, wait_until_answered
from streamflow_loadtests.bed.servers import Servers
from streamflow_loadtests.bench import arms, clients
from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.figures import Cell, cell
from streamflow_loadtests.bench.load import Window
from streamflow_loadtests.bench.server import Role
from streamflow_loadtests.bench.workloads import BenchSettings, Workload
from streamflow_loadtests.measuring.punctual import leave_set_up_alone

Say = Callable[[str], None]
"""Tells of progress, one line at a time."""


class BenchmarkError(Exception):
    """There is nothing to compare: the message says which arm answered wrongly, and why."""


@contextmanager
def served(names: Iterable[str], *, months: Path | None, work: Path, say: Say) -> Iterator[tuple[list[Arm], Servers]]:
    """Start stores with data in them, and the servers of each arm, all in and under `work`; end them after the block.

    Raises JobError or TimeoutError.
    """
    with bed(months=months, work=work, say=say) as found:
        say(f"starting the servers of {', '.join(names)}")
        chosen = arms.start(names, found)
        say("materializing the newest features")
        found.materialize()
        yield chosen, found.servers


async def measure(settings: BenchSettings, chosen: Sequence[Arm], servers: Servers, *, say: Say) -> list[Cell]:
    """Return every round's cells. In each round, every arm is put under its workloads, in an order that rotates.

    An arm is left out of a workload that its client can't make, or that asks for more users than its server knows.
    Raises BedError for an arm that does not start, BenchmarkError for an arm that fails a call or answers wrongly.
    """
    cells: list[Cell] = []
    async with AsyncExitStack() as stack:
        for arm in chosen:
            stack.push_async_callback(arm.loader.close)
            await _wait_until_ready(arm, servers)
        leave_set_up_alone()
        for number in range(settings.rounds):
            order = [chosen[(number + place) % len(chosen)] for place in range(len(chosen))]
            say(f"round {number + 1} of {settings.rounds}: {', '.join(arm.name for arm in order)}")
            for workload in settings.workloads:
                cells += [
                    await _cell(settings, arm, servers, workload=workload, number=number)
                    for arm in order
                    if workload in settings.arms[arm.name] and arm.client.takes(workload)
                    if workload.users <= len(arm.server.answers)
                ]
    return cells


async def _wait_until_ready(arm: Arm, servers: Servers) -> None:
    caller = clients.connect(arm.server)
    try:
        await wait_until_answered(caller, next(iter(arm.server.answers)), servers, list(arm.server.roles))
    finally:
        await caller.close()


async def _cell(settings: BenchSettings, arm: Arm, servers: Servers, *, workload: Workload, number: int) -> Cell:
    roles = {**arm.server.roles, VALKEY: Role.STORE}
    window = Window(watched={name: servers.process(name) for name in roles})
    load = await arm.loader.run(
        workload,
        window,
        warm_up_s=settings.warm_up_s,
        duration_s=settings.duration_s,
        seed=settings.seed + number,
    )
    if load.failures or not load.calls:
        raise BenchmarkError(
            f"{arm.name} under {workload}, round {number + 1}: {len(load.failures)} calls failed or were answered "
            f"wrongly, the first: {next(iter(load.failures), 'none was answered')}"
        )
    return cell(load, window, arm=arm.name, workload=workload, number=number, roles=roles)
