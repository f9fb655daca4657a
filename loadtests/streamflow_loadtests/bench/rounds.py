"""A run: the stores, the servers, and the rounds in which every arm takes its turn."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from streamflow_loadtests.bed.bed import VALKEY, bed, wait_until_answered
from streamflow_loadtests.bed.servers import Servers
from streamflow_loadtests.bench import arms
from streamflow_loadtests.bench.arm import Arm, Role
from streamflow_loadtests.bench.figures import Cell, cell
from streamflow_loadtests.bench.load import check, drive, requests
from streamflow_loadtests.bench.workloads import BenchSettings, Workload
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.measuring.cpu import Cpu

Say = Callable[[str], None]
"""Tells of progress, one line at a time."""


class BenchmarkError(Exception):
    """There is nothing to compare: the message says which arm answered wrongly, and why."""


@contextmanager
def served(names: Sequence[str], *, months: Path | None, work: Path, say: Say) -> Iterator[tuple[list[Arm], Servers]]:
    """Start stores with data in them, and the servers of each arm, all in and under `work`; end them after the block.

    Raises JobError or TimeoutError.
    """
    with bed(months=months, work=work, say=say) as found:
        say(f"starting the servers of {', '.join(names)}")
        chosen = [arms.start(name, found) for name in names]
        say("materializing the newest features")
        found.materialize()
        yield chosen, found.servers


async def measure(settings: BenchSettings, chosen: Sequence[Arm], servers: Servers, *, say: Say) -> list[Cell]:
    """Return every round's cells. In each round, every arm is put under every workload, in an order that rotates.

    An arm that knows fewer users than a call asks for is left out of that workload. Raises BedError for
    an arm that does not start, BenchmarkError for an arm that fails a call or answers a call wrongly.
    """
    cells: list[Cell] = []
    async with AsyncExitStack() as stack:
        callers = {}
        for arm in chosen:
            callers[arm.name] = arm.caller(settings.channel)
            stack.push_async_callback(callers[arm.name].close)
        for arm in chosen:
            await wait_until_answered(callers[arm.name], next(iter(arm.answers)), servers, list(arm.roles))
        # What the set-up left in memory is not looked through again while calls are timed.
        gc.collect()
        gc.freeze()
        for number in range(settings.rounds):
            order = [chosen[(number + place) % len(chosen)] for place in range(len(chosen))]
            say(f"round {number + 1} of {settings.rounds}: {', '.join(arm.name for arm in order)}")
            for workload in settings.workloads:
                cells += [
                    await _cell(settings, arm, callers[arm.name], servers, workload=workload, number=number)
                    for arm in order
                    if workload.users <= len(arm.answers)
                ]
    return cells


async def _cell(
    settings: BenchSettings, arm: Arm, caller: Caller, servers: Servers, *, workload: Workload, number: int
) -> Cell:
    seed = settings.seed + number
    where = f"{arm.name} under {workload}, round {number + 1}"
    roles = {**arm.roles, VALKEY: Role.STORE}
    watched = {name: servers.process(name) for name in roles}
    asked = requests(caller, list(arm.answers), users=workload.users, seed=seed)
    load = await drive(caller, asked, callers=workload.callers, duration_s=settings.warm_up_s, seed=-1 - seed)
    _refuse_faults(where, check(caller, arm.answers, load))
    resends = caller.resends
    before, began = Cpu.now(watched), time.perf_counter()
    load = await drive(caller, asked, callers=workload.callers, duration_s=settings.duration_s, seed=seed)
    after, ended = Cpu.now(watched), time.perf_counter()
    _refuse_faults(where, check(caller, arm.answers, load))
    return cell(
        load,
        arm=arm.name,
        workload=workload,
        number=number,
        roles=roles,
        resends=caller.resends - resends,
        before=before,
        after=after,
        wall_s=ended - began,
    )


def _refuse_faults(where: str, faults: Sequence[str]) -> None:
    if faults:
        raise BenchmarkError(f"{where}: {len(faults)} calls failed or were answered wrongly, the first: {faults[0]}")
