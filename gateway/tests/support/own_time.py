"""An event loop whose clock moves only while nothing else can, so that results do not depend on the machine."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class _Clock(selectors.DefaultSelector):
    """Waits for nothing: the time that it is asked to wait passes at once."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits, and nothing will happen"
        if timeout > 0:
            # On, however little it is: a time that is too small to be added would be waited for without end.
            self.now_s = max(self.now_s + timeout, math.nextafter(self.now_s, math.inf))
        return super().select(0)


class OwnTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only while nothing else can."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


def run_in_own_time(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in a loop in which computing takes no time, so that the result is the same on any machine."""
    with asyncio.Runner(loop_factory=OwnTimeLoop) as runner:
        return runner.run(main)


def in_own_time(
    test: Callable[_Parameters, Coroutine[Any, Any, _Result]],
) -> Callable[_Parameters, _Result]:
    """Return a test that runs the coroutine function of a test by `run_in_own_time`."""

    @wraps(test)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        return run_in_own_time(test(*args, **kwargs))

    return run
