"""A load in an open loop: calls begin at a fixed rate whatever becomes of them, as those of independent callers do."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamflow_loadtests.callers import CallError, GatewayCaller
from streamflow_loadtests.client import fault
from streamflow_loadtests.data import Values

_TICK_S = 0.002
OK = "OK"
WRONG = "WRONG"
"""The outcome of a call that was answered, but not with what PostgreSQL has."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that has ended; times are `time.perf_counter`'s."""

    began_s: float
    elapsed_s: float

    outcome: str
    """OK, WRONG or the name of a gRPC status code."""

    @property
    def ended_s(self) -> float:
        """When its answer had come."""
        return self.began_s + self.elapsed_s


@dataclass(kw_only=True)
class OpenLoop:
    """Calls of the gateway for users drawn at random, each with the same deadline."""

    caller: GatewayCaller
    answers: Mapping[str, Values]
    calls_per_s: float
    timeout_s: float
    seed: int = 0

    calls: list[Call] = field(default_factory=list)
    """Those that have ended, in the order of their ends."""

    async def run(self, ended: asyncio.Event) -> None:
        """Begin calls until `ended` is set, then wait for those in flight."""
        drawn = random.Random(self.seed)  # noqa: S311  # repeatable draws, not secrets
        users = list(self.answers)
        began, begun = time.perf_counter(), 0
        async with asyncio.TaskGroup() as tasks:
            while not ended.is_set():
                due = int((time.perf_counter() - began) * self.calls_per_s)
                for _ in range(due - begun):
                    tasks.create_task(self._call(drawn.choice(users)))
                begun = due
                await asyncio.sleep(_TICK_S)

    async def _call(self, user_id: str) -> None:
        began_s = time.perf_counter()
        try:
            message = await self.caller.ask(user_id, timeout_s=self.timeout_s)
        except CallError as error:
            self.calls.append(Call(began_s, time.perf_counter() - began_s, error.code or WRONG))
            return
        elapsed_s = time.perf_counter() - began_s
        wrong = fault(self.caller.read(message), user_id, self.answers[user_id])
        self.calls.append(Call(began_s, elapsed_s, OK if wrong is None else WRONG))
