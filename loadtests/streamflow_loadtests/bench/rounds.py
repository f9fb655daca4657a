"""A run: the stores, the servers, and the rounds in which every arm takes its turn."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from streamflow_local import ports, postgres, valkey
from streamflow_offline.materialize import materialize
from streamflow_repo.settings.connections import feast_environment

from streamflow_loadtests.bed import data
from streamflow_loadtests.bed.servers import Servers
from streamflow_loadtests.bench import arms
from streamflow_loadtests.bench.arm import Arm, Role
from streamflow_loadtests.bench.figures import Cell, cell
from streamflow_loadtests.bench.load import check, drive, requests
from streamflow_loadtests.bench.workloads import Plan, Workload
from streamflow_loadtests.callers.channels import CALL_TIMEOUT_S, CallError
from streamflow_loadtests.callers.replies import Caller
from streamflow_loadtests.measuring.cpu import Cpu

_log = logging.getLogger(__name__)

_STORE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 90.0
_RETRY_S = 0.2
_STORE = "valkey"

Say = Callable[[str], None]
"""Tell of progress, one line at a time."""


class BenchmarkError(Exception):
    """There is nothing to compare: the message says which arm answered wrongly or not at all, and why."""


@contextmanager
def served(names: Sequence[str], *, months: Path | None, work: Path, say: Say) -> Iterator[tuple[list[Arm], Servers]]:
    """Start stores with data in them, and the servers of each arm, all in and under `work`; end them after the block.

    Raises BenchmarkError, JobError or TimeoutError.
    """
    with Servers(work / "logs") as servers:
        say("starting PostgreSQL and Valkey")
        socket_dir = work / "postgres-socket"
        redis_port = ports.free_port()
        servers.start(postgres.prepare(work / "postgres", socket_dir))
        servers.start(valkey.prepare(work / "valkey", port=redis_port))
        postgres.wait_until_ready(postgres.url(socket_dir, "postgres"), timeout_s=_STORE_TIMEOUT_S)
        valkey.wait_until_ready(valkey.url(redis_port), timeout_s=_STORE_TIMEOUT_S)
        postgres.create_database(socket_dir)
        postgres_url, redis_url = postgres.url(socket_dir), valkey.url(redis_port)
        dataset = data.load(months=months, work=work, postgres_url=postgres_url, redis_url=redis_url, on_step=say)
        say(f"starting the servers of {', '.join(names)}")
        chosen = [arms.make(name, dataset, work=work) for name in names]
        for arm in chosen:
            feast = feast_environment(
                postgres_url=postgres_url, redis_url=redis_url, redis_timeout_s=arm.redis_timeout_s
            )
            for spec in arm.processes:
                servers.start(spec, environment=feast)
        say("materializing the newest features")
        materialize(postgres_url=postgres_url, redis_url=redis_url, on_progress=_log.debug)
        yield chosen, servers


async def measure(plan: Plan, chosen: Sequence[Arm], servers: Servers, *, say: Say) -> list[Cell]:
    """Return every round's cells. In each round, every arm is put under every workload, in an order that rotates.

    An arm that knows fewer users than a call asks for is left out of that workload. Raises BenchmarkError for
    an arm that fails a call or answers one wrongly.
    """
    cells: list[Cell] = []
    async with AsyncExitStack() as stack:
        callers = {}
        for arm in chosen:
            callers[arm.name] = arm.caller(plan.channel)
            stack.push_async_callback(callers[arm.name].close)
        for arm in chosen:
            await _wait_for(arm, callers[arm.name], servers)
        # What the set-up left in memory is not looked through again while calls are timed.
        gc.collect()
        gc.freeze()
        for number in range(plan.rounds):
            order = [chosen[(number + place) % len(chosen)] for place in range(len(chosen))]
            say(f"round {number + 1} of {plan.rounds}: {', '.join(arm.name for arm in order)}")
            for workload in plan.workloads:
                cells += [
                    await _cell(plan, arm, callers[arm.name], servers, workload=workload, number=number)
                    for arm in order
                    if workload.users <= len(arm.answers)
                ]
    return cells


async def _wait_for(arm: Arm, caller: Caller, servers: Servers) -> None:
    """Return once the arm answers. Raises BenchmarkError when it does not, or one of its processes has ended."""
    deadline = time.monotonic() + _SERVER_TIMEOUT_S
    while True:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await caller.send(caller.request([next(iter(arm.answers))]))
        except (CallError, TimeoutError) as error:
            ended = [spec.name for spec in arm.processes if not servers.runs(spec.name)]
            if ended or time.monotonic() > deadline:
                reason = f"{ended[0]} has ended" if ended else f"no answer in {_SERVER_TIMEOUT_S:g} s: {error}"
                raise BenchmarkError(f"{arm.name} did not start: {reason}; {_log_ends(arm, servers)}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def _cell(plan: Plan, arm: Arm, caller: Caller, servers: Servers, *, workload: Workload, number: int) -> Cell:
    seed = plan.seed + number
    where = f"{arm.name} under {workload}, round {number + 1}"
    roles = {**arm.roles, _STORE: Role.STORE}
    watched = {name: servers.process(name) for name in roles}
    asked = requests(caller, list(arm.answers), users=workload.users, seed=seed)
    load = await drive(caller, asked, callers=workload.callers, duration_s=plan.warm_up_s, seed=-1 - seed)
    _refuse_faults(where, check(caller, arm.answers, load))
    resends = caller.resends
    before, began = Cpu.now(watched), time.perf_counter()
    load = await drive(caller, asked, callers=workload.callers, duration_s=plan.duration_s, seed=seed)
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


def _log_ends(arm: Arm, servers: Servers) -> str:
    logs = [servers.logs / f"{spec.name}.log" for spec in arm.processes]
    return "\n".join(f"{log.name} ends\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}" for log in logs)
