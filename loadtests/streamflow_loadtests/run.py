"""A run: the stores, the servers, and the rounds in which every arm takes its turn."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from streamflow_local import ports, postgres, valkey
from streamflow_offline.materialize import materialize
from streamflow_repo.connections import feast_environment

from streamflow_loadtests import arms, data
from streamflow_loadtests.arms import Arm
from streamflow_loadtests.callers import Caller, CallError
from streamflow_loadtests.client import drive
from streamflow_loadtests.measure import Cell, Cpu, cell
from streamflow_loadtests.servers import Servers

_log = logging.getLogger(__name__)

_STORE_TIMEOUT_S = 60.0
_SERVER_TIMEOUT_S = 90.0
_RETRY_S = 0.2

Say = Callable[[str], None]
"""Tell of progress, one line at a time."""


class BenchmarkError(Exception):
    """There is nothing to compare: the message says which arm answered wrongly or not at all, and why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, and for how long."""

    arms: Sequence[str]
    callers: Sequence[int]
    rounds: int

    duration_s: float
    """How long calls are begun for in each cell."""

    warm_up_s: float
    """The same load before each cell, not measured."""

    seed: int
    """The same seed draws the same users."""


@contextmanager
def served(plan: Plan, *, months: Path | None, work: Path, say: Say) -> Iterator[tuple[list[Arm], Servers]]:
    """Start stores with data in them, and the servers of every arm, all in and under `work`; end them after the block.

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
        say(f"starting the servers of {', '.join(plan.arms)}")
        chosen = [arms.make(name, dataset, work=work) for name in plan.arms]
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
    """Return every round's cells. In each round, every number of callers calls every arm, in an order that rotates.

    Raises BenchmarkError for an arm that fails a call or answers one wrongly.
    """
    cells: list[Cell] = []
    async with AsyncExitStack() as stack:
        callers = {}
        for arm in chosen:
            callers[arm.name] = arm.caller()
            stack.push_async_callback(callers[arm.name].close)
        for arm in chosen:
            await _wait_for(arm, callers[arm.name], servers)
        # What the set-up left in memory is not looked through again while calls are timed.
        gc.collect()
        gc.freeze()
        for number in range(plan.rounds):
            order = [chosen[(number + place) % len(chosen)] for place in range(len(chosen))]
            say(f"round {number + 1} of {plan.rounds}: {', '.join(arm.name for arm in order)}")
            for count in plan.callers:
                cells += [
                    await _cell(plan, arm, callers[arm.name], servers, callers=count, number=number) for arm in order
                ]
    return cells


async def wait_for_all(chosen: Sequence[Arm], servers: Servers) -> None:
    """Return once every arm answers. Raises BenchmarkError when one does not, or one of its processes has ended."""
    for arm in chosen:
        caller = arm.caller()
        try:
            await _wait_for(arm, caller, servers)
        finally:
            await caller.close()


async def _wait_for(arm: Arm, caller: Caller, servers: Servers) -> None:
    """Return once the arm answers. Raises BenchmarkError when it does not, or one of its processes has ended."""
    deadline = time.monotonic() + _SERVER_TIMEOUT_S
    while True:
        try:
            await caller.ask(next(iter(arm.answers)))
        except CallError as error:
            ended = [spec.name for spec in arm.processes if not _runs(servers.process(spec.name))]
            if ended or time.monotonic() > deadline:
                reason = f"{ended[0]} has ended" if ended else f"no answer in {_SERVER_TIMEOUT_S:g} s: {error}"
                raise BenchmarkError(f"{arm.name} did not start: {reason}; {_log_ends(arm, servers)}") from error
            await asyncio.sleep(_RETRY_S)
        else:
            return


async def _cell(plan: Plan, arm: Arm, caller: Caller, servers: Servers, *, callers: int, number: int) -> Cell:
    seed = plan.seed + number
    where = f"{arm.name} under {callers} callers, round {number + 1}"
    watched = {name: servers.process(name) for name in (*(spec.name for spec in arm.processes), "valkey")}
    warm_up = await drive(caller, arm.answers, callers=callers, duration_s=plan.warm_up_s, seed=-1 - seed)
    _refuse_faults(where, warm_up.faults)
    resends = caller.resends
    before, began = Cpu.now(watched), time.perf_counter()
    load = await drive(caller, arm.answers, callers=callers, duration_s=plan.duration_s, seed=seed)
    after, ended = Cpu.now(watched), time.perf_counter()
    _refuse_faults(where, load.faults)
    return cell(
        load,
        arm=arm.name,
        callers=callers,
        number=number,
        resends=caller.resends - resends,
        before=before,
        after=after,
        wall_s=ended - began,
    )


def _refuse_faults(where: str, faults: Sequence[str]) -> None:
    if faults:
        raise BenchmarkError(f"{where}: {len(faults)} calls failed or were answered wrongly, the first: {faults[0]}")


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _log_ends(arm: Arm, servers: Servers) -> str:
    logs = [servers.logs / f"{spec.name}.log" for spec in arm.processes]
    return "\n".join(f"{log.name} ends\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}" for log in logs)
