"""The load: callers in a closed loop, each of whose replies is kept, and checked when the load is over."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Caller, Reply, Request, Values
from streamflow_loadtests.callers.errors import CallError

BATCHES = 256
"""How many different requests there are for more users than one; for one user there is a request for each."""


@dataclass(kw_only=True)
class Load:
    """What a load met with."""

    elapsed_s: float = 0.0
    """From the first call's beginning to the last reply."""

    latencies_s: list[float] = field(default_factory=list)
    """Of each reply."""

    replies: list[tuple[Request, set[Any]]] = field(default_factory=list)
    """Each request with the different replies that it got; mostly one, or none."""

    failures: list[str] = field(default_factory=list)
    """Of each call that failed, why."""


def requests(caller: Caller, known: Sequence[str], *, users: int, seed: int) -> list[Request]:
    """Return a request for each user that is known, or BATCHES of them for several users drawn at random."""
    if users == 1:
        return [caller.request([user_id]) for user_id in known]
    drawn = random.Random(f"{seed}/{users} users")  # noqa: S311  # repeatable draws, not secrets
    return [caller.request(drawn.sample(known, users)) for _ in range(BATCHES)]


async def drive(caller: Caller, asked: Sequence[Request], *, callers: int, duration_s: float, seed: int) -> Load:
    """Have `callers` callers send requests drawn at random, each its next when it has its last reply, for `duration_s`.

    Calls then in flight are waited for. What the replies say is for `check` to find out.
    """
    load = Load(replies=[(request, set()) for request in asked])
    began = time.perf_counter()
    end = began + duration_s
    try:
        # One bound for all calls: a timer for each would be a tenth of what the client costs.
        async with asyncio.timeout(duration_s + CALL_TIMEOUT_S), asyncio.TaskGroup() as tasks:
            for number in range(callers):
                drawn = random.Random(f"{seed}/{number}")  # noqa: S311
                tasks.create_task(_call_in_a_loop(caller, drawn=drawn, end=end, load=load))
    except TimeoutError:
        load.failures.append(f"a call got no reply in {CALL_TIMEOUT_S:g} s")
    load.elapsed_s = time.perf_counter() - began
    return load


def check(caller: Caller, answers: Mapping[str, Values], load: Load) -> list[str]:
    """Return what was wrong with a load: the calls that failed, and the replies that are not all that is asked for."""
    faults = list(load.failures)
    for request, replies in load.replies:
        for reply in replies:
            try:
                wrong = fault_of_all(caller.replies(request, reply), request.user_ids, answers)
            except CallError as error:
                wrong = f"the reply for {request.user_ids[0]} can't be read: {error}"
            if wrong is not None:
                faults.append(wrong)
    return faults


def fault_of_all(replies: Sequence[Reply], user_ids: Sequence[str], answers: Mapping[str, Values]) -> str | None:
    """Return what is wrong with what was replied for several users, in their order; None for all right."""
    if len(replies) != len(user_ids):
        return f"asked for {len(user_ids)} users, it answered for {len(replies)}"
    faults = (fault(reply, user_id, answers[user_id]) for reply, user_id in zip(replies, user_ids, strict=True))
    return next((wrong for wrong in faults if wrong is not None), None)


def fault(reply: Reply, user_id: str, answer: Values) -> str | None:
    """Return what is wrong with what was replied for one user; None for a right one."""
    if reply.user_id != user_id:
        return f"asked for {user_id}, it answered for {reply.user_id}"
    if reply.values == answer:
        return None
    if reply.values.keys() != answer.keys():
        return f"{user_id} has {len(answer)} features, it answered with {len(reply.values)}: {', '.join(reply.values)}"
    name = next(name for name in answer if reply.values[name] != answer[name])
    return f"{name} of {user_id} is {answer[name]!r}, it answered {reply.values[name]!r}"


async def _call_in_a_loop(caller: Caller, *, drawn: random.Random, end: float, load: Load) -> None:
    while (began := time.perf_counter()) < end:
        request, replies = drawn.choice(load.replies)
        try:
            reply = await caller.send(request)
        except CallError as error:
            load.failures.append(f"the call for {request.user_ids[0]} failed: {error}")
            # One is enough to void the measurement, and a loop of failures would only be fast.
            return
        ended = time.perf_counter()
        load.latencies_s.append(ended - began)
        replies.add(reply)
