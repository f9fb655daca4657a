"""A load in an open loop: calls begin at a fixed rate whatever becomes of them, as those of independent callers do."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamflow_loadtests.callers.calls import Caller, Reply, Values
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.measuring.lateness import Lateness

# The event loop rounds shorter pauses to none, and would not pause at all.
_SHORTEST_PAUSE_S = 0.001
# After a stall, calls that are overdue begin in bursts with the event loop's turns between them.
_BURST = 10
OK = "OK"
WRONG = "WRONG"
"""The outcome of a call that was answered, but not with what PostgreSQL has."""

NOT_FOUND = "NOT_FOUND"
"""The outcome of a call that was answered with what PostgreSQL has, except features that it marks as not found."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that has ended; times are `time.perf_counter`'s."""

    due_s: float
    elapsed_s: float
    """From when the call was due."""

    outcome: str
    """OK, WRONG, NOT_FOUND or the name of a gRPC status code."""

    @property
    def ended_s(self) -> float:
        """When its answer had come."""
        return self.due_s + self.elapsed_s


@dataclass(kw_only=True)
class OpenLoop:
    """Calls of gateways for users drawn at random, each with the same deadline."""

    caller: Caller
    answers: Mapping[str, Values]
    """What a right reply holds, by user id."""

    calls_per_s: float
    timeout_s: float

    note: Callable[[Call], object]
    """Is called with each call that has ended."""

    seed: int = 0

    answers_too: Mapping[str, Values] | None = None
    """What a right reply may hold instead, while values change."""

    lateness: Lateness = field(default_factory=Lateness, init=False)
    """How late this process began its calls; every call's duration includes that."""

    async def run(self, ended: asyncio.Event) -> None:
        """Begin calls until `ended` is set, then wait for those in flight."""
        drawn = random.Random(self.seed)  # noqa: S311  # repeatable draws, not secrets
        users = list(self.answers)
        began_s = time.perf_counter()
        begun = 0
        async with asyncio.TaskGroup() as tasks:
            while not ended.is_set():
                due_s = began_s + begun / self.calls_per_s
                pause_s = due_s - time.perf_counter()
                if pause_s > 0:
                    await asyncio.sleep(max(pause_s, _SHORTEST_PAUSE_S))
                    continue
                tasks.create_task(self._call(drawn.choice(users), due_s))
                begun += 1
                if begun % _BURST == 0:
                    await asyncio.sleep(0)

    async def _call(self, user_id: str, due_s: float) -> None:
        began_s = time.perf_counter()
        self.lateness.begun.add((began_s - due_s) * 1000)
        try:
            [reply] = await self.caller.ask([user_id], timeout_s=self.timeout_s)
        except CallError as error:
            self.note(Call(due_s, time.perf_counter() - due_s, error.code))
            return
        elapsed_s = time.perf_counter() - due_s
        self.note(Call(due_s, elapsed_s, self._outcome(reply, user_id)))

    def _outcome(self, told: Reply, user_id: str) -> str:
        right = [self.answers[user_id], *([] if self.answers_too is None else [self.answers_too[user_id]])]
        if told.user_id != user_id:
            return WRONG
        if told.values in right:
            return OK
        missed = {name: None if name in told.not_found else value for name, value in right[0].items()}
        known = len(told.not_found) < len(missed)
        return NOT_FOUND if told.values == missed and told.user_known == known else WRONG
