"""What a fault is: what is done, how it is undone, and how calls may end meanwhile."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.open_loop import NOT_FOUND, OK, Call, OpenLoop

OUT_OF_TIME = frozenset({"DEADLINE_EXCEEDED"})
OUTAGE = frozenset({"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"})
EMPTY = OUTAGE | {NOT_FOUND}


@dataclass(kw_only=True)
class Scene:
    """A stack under load."""

    bed: Bed
    load: OpenLoop

    stretched: float = 1.0
    """How many times as long as in `make drill` a fault lasts."""

    complaints: list[str] = field(default_factory=list)
    """What was not as expected, beside what calls were told."""

    def expect(self, met: object, complaint: str) -> None:
        """Complain unless an expectation is met."""
        if not met:
            self.complaints.append(complaint)

    def lasting(self, duration_s: float) -> float:
        """Return how long a fault lasts that lasts `duration_s` in `make drill`."""
        return duration_s * self.stretched

    async def outcomes(self, *, for_s: float) -> tuple[int, int]:
        """Return how many calls of the load are answered within the next `for_s`, and how many end."""
        note, seen = self.load.note, Counter[bool]()

        def count(call: Call) -> None:
            seen[call.outcome == OK] += 1
            note(call)

        self.load.note = count
        await asyncio.sleep(for_s)
        self.load.note = note
        return seen[True], seen.total()


Stage = Callable[[Bed], AbstractAsyncContextManager[Caller]]
"""Starts what a fault needs beside the stack, and yields the connections of its load."""

Watch = Callable[[Bed], AbstractAsyncContextManager[object]]
"""Watches what is under load: entered before the load begins, left when the load has ended."""

Inject = Callable[[Scene], AbstractAsyncContextManager[None]]
"""Does the fault; it is over when the block begins."""


@asynccontextmanager
async def unwatched(_bed: Bed) -> AsyncIterator[None]:
    """Watch nothing."""
    yield


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault and what is expected."""

    name: str
    inject: Inject
    stage: Stage = Bed.asking

    may_fail_as: frozenset[str] = frozenset()
    """The status codes that calls may end with while it lasts, and NOT_FOUND; none when no call may fail."""
