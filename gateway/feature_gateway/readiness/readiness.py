"""Whether the gateway should be sent calls: what a canary read through to the online store says, and draining."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from streamflow_logs import Event

from feature_gateway.errors import as_gateway_error

_log = logging.getLogger(__name__)

FAILURES_TO_NOT_READY = 3
"""One late read must not make a gateway not ready; a feature server that is gone fails all of them."""

_STARTING = "The gateway is starting: no canary read has succeeded yet."
_DRAINING = "The gateway is ending."


class Readiness:
    """Not ready at first and after three canary reads in a row that failed; ready after one that succeeded."""

    def __init__(self, *, outlasts_s: float = 0.0, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start not ready. Once ready, stay ready until no canary read has succeeded for `outlasts_s`."""
        self._outlasts_s = outlasts_s
        self._now_s = now_s
        self._succeeded_s = 0.0
        self._reason: str | None = _STARTING
        self._failures = 0
        self._draining = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def ready(self) -> bool:
        """Whether calls should be sent here."""
        return self._reason is None

    @property
    def reason(self) -> str | None:
        """Why it is not ready; None when it is."""
        return self._reason

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change of `ready`."""
        self._listeners.append(listener)

    def succeeded(self) -> None:
        """Count a canary read that was answered."""
        self._failures = 0
        self._succeeded_s = self._now_s()
        if not self._draining:
            self._set(None)

    def failed(self, why: str) -> None:
        """Count a canary read that failed."""
        self._failures += 1
        outlasted = self._failures < FAILURES_TO_NOT_READY or self._now_s() - self._succeeded_s < self._outlasts_s
        if not self._draining and not (self.ready and outlasted):
            self._set(f"The canary read failed: {why}")

    def drain(self) -> None:
        """Be not ready until the end, whatever the canary reads say."""
        self._draining = True
        self._set(_DRAINING)

    def _set(self, reason: str | None) -> None:
        before, self._reason = self._reason, reason
        if reason is None:
            if before is not None:
                _log.info(Event("ready"))
        elif not self._draining and before in {None, _STARTING}:
            _log.warning(Event("not ready", reason=reason))
        if (reason is None) != (before is None):
            for listener in self._listeners:
                listener()


async def follow(
    readiness: Readiness,
    canary: Callable[[], Awaitable[object]],
    *,
    interval_s: float,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Do a canary read every `interval_s`, start to start, and report its result to `readiness`; run until cancelled.

    `canary` bounds its own time; a read that takes longer than the interval is followed by the next at once.
    """
    while True:
        started = now()
        try:
            await canary()
        except Exception as error:  # noqa: BLE001  # whatever it was, no call would have been answered
            failure = as_gateway_error(error)
            if failure is not error:
                _log.exception(Event("unforeseen failure", of="canary read"))
            readiness.failed(failure.message)
        else:
            readiness.succeeded()
        await sleep(max(0.0, started + interval_s - now()))
