"""Ends what is late, with one timer for all that ends within the same millisecond."""

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Generic, TypeVar

Late = TypeVar("Late")

_PER_S = 1000

TICK_S = 1 / _PER_S
"""How late it may be noticed that a deadline has passed."""


class Deadlines(Generic[Late]):
    """Deadlines by the event loop's clock, in seconds; most are dropped ahead of their time."""

    def __init__(self, act: Callable[[Late], object]) -> None:
        """Create it without deadlines; `act` is called with what is late."""
        self._act = act
        self._ticks: dict[int, tuple[dict[Late, None], asyncio.TimerHandle]] = {}

    def add(self, late: Late, deadline: float) -> int:
        """Have `act` called with it once the deadline has passed; return what it can be dropped by."""
        tick = ceil(deadline * _PER_S)
        found = self._ticks.get(tick)
        if found is None:
            timer = asyncio.get_running_loop().call_at(tick / _PER_S, self._end, tick)
            found = self._ticks[tick] = {}, timer
        found[0][late] = None
        return tick

    def drop(self, late: Late, tick: int) -> None:
        """Forget it; without effect once it was late."""
        found = self._ticks.get(tick)
        if found is None:
            return
        waiting, timer = found
        waiting.pop(late, None)
        if not waiting:
            timer.cancel()
            del self._ticks[tick]

    def _end(self, tick: int) -> None:
        waiting, _ = self._ticks.pop(tick)
        for late in waiting:
            self._act(late)
