"""Measures how late the event loop runs its timers, and has answered rows added up."""

import asyncio

from feature_gateway.metrics import Metrics

_TICK_S = 0.1
_TICKS_TO_ADD_UP = 10


async def beat(metrics: Metrics) -> None:
    """Tell of the lag of a timer ten times a second, and have rows added up every second; go on until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        for _ in range(_TICKS_TO_ADD_UP):
            due_s = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            metrics.loop_lagged(max(0.0, loop.time() - due_s))
        metrics.add_up_rows()
