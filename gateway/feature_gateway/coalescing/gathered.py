"""Gathers the outcomes of calls that one caller waits for, with one future for all of them."""

import asyncio

from feature_gateway.reads import Answers

Gatherings = list[Answers | BaseException]
"""The answers to each call, or what it is to raise, in their order."""


class Gathered:
    """Outcomes of a number of calls; `asyncio.gather` has a future and two turns of the event loop for each."""

    def __init__(self, count: int) -> None:
        """Create it for calls of which none has ended; there is one at least."""
        self.future: asyncio.Future[Gatherings] = asyncio.get_running_loop().create_future()
        """Done when each call has ended; cancelled with its caller."""

        self.places = [_Place(self) for _ in range(count)]
        """The outcome of each call."""

        self._left = count

    def ended(self) -> None:
        """Note that a call has ended."""
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result([place.outcome for place in self.places])


class _Place:
    """The outcome of one call."""

    __slots__ = ("_gathered", "_is_done", "outcome")

    outcome: Answers | BaseException

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, result: Answers, /) -> None:
        self._end(result)

    def set_exception(self, exception: BaseException, /) -> None:
        self._end(exception)

    def cancel(self) -> None:
        self._is_done = True

    def _end(self, outcome: Answers | BaseException) -> None:
        self.outcome = outcome
        self._is_done = True
        self._gathered.ended()
