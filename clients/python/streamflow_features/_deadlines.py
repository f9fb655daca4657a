"""Ends calls that are late, with one timer for all deadlines of a millisecond."""

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Generic, TypeVar

Late = TypeVar("Late")

_PER_S = 1000


class Deadlines(Generic[Late]):
    """Deadlines by the event loop's clock, in seconds. Most are dropped ahead of their time."""

    def __init__(self, end: Callable[[Late], object]) -> None:
        """Creates it without deadlines; `end` is called with what is late, at most a millisecond after its deadline."""
        self._end = end
        self._ticks: dict[int, tuple[dict[Late, None], asyncio.TimerHandle]] = {}

    def add(self, late: Late, deadline: float) -> int:
        """Have `late` ended once the deadline has passed; return what it is dropped by."""
        tick = ceil(deadline * _PER_S)
        found = self._ticks.get(tick)
        if found is None:
            timer = asyncio.get_running_loop().call_at(tick / _PER_S, self._pass, tick)
            found = self._ticks[tick] = {}, timer
        found[0][late] = None
        return tick

    def drop(self, late: Late, tick: int) -> None:
        """Forget a deadline. Without effect once it has passed."""
        found = self._ticks.get(tick)
        if found is None:
            return
        waiting, timer = found
        waiting.pop(late, None)
        if not waiting:
            timer.cancel()
            del self._ticks[tick]

    def _pass(self, tick: int) -> None:
        waiting, _ = self._ticks.pop(tick)
        for late in waiting:
            self._end(late)
