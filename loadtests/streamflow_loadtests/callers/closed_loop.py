"""A load in a closed loop, whose callers wait for each answer: how much can be answered at all."""

import asyncio
import random
import time
from collections.abc import Sequence

from streamflow_loadtests.callers.calls import Caller

_CALLERS = 64
_TIMEOUT_S = 5.0


async def peak_per_s(caller: Caller, users: Sequence[str], *, duration_s: float) -> float:
    """Return how many calls a second 64 callers have answered. Raises CallError when a call fails."""
    began = time.perf_counter()

    async def calls(number: int) -> int:
        drawn = random.Random(number)  # noqa: S311  # repeatable draws, not secrets
        answered = 0
        while time.perf_counter() - began < duration_s:
            await caller.ask([drawn.choice(users)], timeout_s=_TIMEOUT_S)
            answered += 1
        return answered

    answered = sum(await asyncio.gather(*(calls(number) for number in range(_CALLERS))))
    return answered / (time.perf_counter() - began)
