"""Bounds the memory of answers that callers of streams have not taken, and the time until they are taken."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from streamflow_logs import Event

_log = logging.getLogger(__name__)

STALLED = "The caller took no answer of the stream for too long."
"""What a stream is cancelled and ended with."""

# An answer of 582 bytes takes 3 KiB until it is sent.
_FIXED_BYTES = 512
_FACTOR = 4


def memory_bytes(serialized_bytes: int) -> int:
    """Return about how much memory a message takes, by its serialized size."""
    return _FIXED_BYTES + _FACTOR * serialized_bytes


@dataclass(eq=False)
class Untaken:
    """The bytes of the answers of all streams that are being made or have not been taken."""

    max_stream_bytes: int
    max_bytes: int
    bytes: int = 0
    _waiting: deque[asyncio.Event] = field(default_factory=deque)

    def of_stream(self) -> "UntakenOfStream":
        """Return a new stream's part."""
        return UntakenOfStream(self)

    def wait(self, woken: asyncio.Event) -> None:
        """Set `woken` when bytes are released, after those that wait longer."""
        self._waiting.append(woken)

    def wake(self) -> None:
        """Wake the stream that waits longest."""
        if self._waiting:
            self._waiting.popleft().set()


@dataclass(eq=False)
class UntakenOfStream:
    """One stream's part. A question holds what the stream's largest answer took, then what its own answer takes."""

    _all: Untaken
    _bytes: int = 0
    _expected: int = 1024
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def reserve(self) -> int:
        """Return the bytes that are held for one more answer, once there is room: within the stream and within all.

        A stream that holds nothing has room for one answer, so that no stream stands still because of others.
        """
        while self._bytes and (
            self._bytes + self._expected > self._all.max_stream_bytes
            or self._all.bytes + self._expected > self._all.max_bytes
        ):
            self._woken.clear()
            self._all.wait(self._woken)
            await self._woken.wait()
        self._add(self._expected)
        return self._expected

    def answered(self, held: int, taken: int) -> None:
        """Hold what an answer takes instead of what was held for it."""
        self._expected = max(self._expected, taken)
        self._add(taken - held)

    def release(self, count: int) -> None:
        """Give bytes back."""
        self._add(-count)
        self._woken.set()
        self._all.wake()

    def close(self) -> None:
        """Give all bytes back."""
        self.release(self._bytes)

    def _add(self, count: int) -> None:
        self._bytes += count
        self._all.bytes += count


class Stall:
    """Cancels the task that creates it when an answer is not taken in time."""

    def __init__(self, limit_s: float) -> None:
        """Create the watch of one stream."""
        self._limit_s = limit_s
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._since_s: float | None = None
        self._timer = self._loop.call_later(limit_s, self._look)

    def begin(self) -> None:
        """Note that an answer is offered."""
        self._since_s = self._loop.time()

    def end(self) -> None:
        """Note that the answer was taken."""
        self._since_s = None

    def close(self) -> None:
        """End the watch."""
        self._timer.cancel()

    def _look(self) -> None:
        # One timer for a stream, not one for each answer.
        now_s = self._loop.time()
        ends_s = (now_s if self._since_s is None else self._since_s) + self._limit_s
        if now_s < ends_s:
            self._timer = self._loop.call_at(ends_s, self._look)
        elif self._task is not None:
            _log.warning(Event("stream ended", reason="its caller took no answer", waited_s=self._limit_s))
            self._task.cancel(STALLED)
