"""Progress as lines of text: rows done, rows a second, and how long the rest will take."""

import time
from collections.abc import Callable

_MIN_INTERVAL_S = 1.0
_MINUTE_S = 60


class Progress:
    """Tells how far a job of `total` rows is, at most once a second and at the end.

    `done` rows were done before, and count for no rate.
    """

    def __init__(
        self,
        total: int,
        *,
        done: int = 0,
        on_progress: Callable[[str], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._done = self._done_before = done
        self._on_progress = on_progress
        self._clock_s = clock_s
        self._started_s = self._told_s = clock_s()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job began."""
        return self._clock_s() - self._started_s

    def add(self, rows: int) -> None:
        """Count rows as done, and tell it if it is time."""
        self._done += rows
        now_s = self._clock_s()
        if now_s - self._told_s < _MIN_INTERVAL_S and self._done < self._total:
            return
        self._told_s = now_s
        rate = (self._done - self._done_before) / max(now_s - self._started_s, 1e-9)
        left = f", {_duration((self._total - self._done) / rate)} left" if self._done < self._total else ""
        self._on_progress(f"{self._done:,} of {self._total:,} rows, {rate:,.0f} rows/s{left}")


def _duration(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), _MINUTE_S)
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"
