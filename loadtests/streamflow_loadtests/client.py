"""The load: callers in a closed loop, each of whose replies is checked."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streamflow_loadtests.callers import Caller, CallError, Reply
from streamflow_loadtests.data import Values


@dataclass(kw_only=True)
class Load:
    """What a load met with."""

    duration_s: float
    """How long calls were begun for; those then in flight are waited for."""

    latencies_s: list[float] = field(default_factory=list)
    """Of each right reply."""

    in_time: int = 0
    """Right replies that came while calls were still begun: what a throughput is made of."""

    faults: list[str] = field(default_factory=list)
    """Of each call that failed or whose reply was wrong, why."""


async def drive(caller: Caller, answers: Mapping[str, Values], *, callers: int, duration_s: float, seed: int) -> Load:
    """Have `callers` callers ask for users drawn at random, each its next when it has its last, for `duration_s`."""
    load = Load(duration_s=duration_s)
    users = list(answers)
    end = time.perf_counter() + duration_s
    async with asyncio.TaskGroup() as tasks:
        for number in range(callers):
            drawn = random.Random(f"{seed}/{number}")  # noqa: S311  # repeatable draws, not secrets
            tasks.create_task(_call_in_a_loop(caller, answers, users=users, drawn=drawn, end=end, load=load))
    return load


async def _call_in_a_loop(
    caller: Caller, answers: Mapping[str, Values], *, users: Sequence[str], drawn: random.Random, end: float, load: Load
) -> None:
    while (began := time.perf_counter()) < end:
        user_id = drawn.choice(users)
        try:
            message = await caller.ask(user_id)
            ended = time.perf_counter()
            wrong = fault(caller.read(message), user_id, answers[user_id])
        except CallError as error:
            load.faults.append(f"the call for {user_id} failed: {error}")
            # One is enough to void the measurement, and a loop of failures would only be fast.
            return
        if wrong is not None:
            load.faults.append(wrong)
            return
        load.latencies_s.append(ended - began)
        load.in_time += ended <= end


def fault(reply: Reply, user_id: str, answer: Values) -> str | None:
    """Return what is wrong with a reply; None for a right one."""
    if reply.user_id != user_id:
        return f"asked for {user_id}, it answered for {reply.user_id}"
    if reply.values == answer:
        return None
    if reply.values.keys() != answer.keys():
        return f"{user_id} has {len(answer)} features, it answered with {len(reply.values)}: {', '.join(reply.values)}"
    name = next(name for name in answer if reply.values[name] != answer[name])
    return f"{name} of {user_id} is {answer[name]!r}, it answered {reply.values[name]!r}"
