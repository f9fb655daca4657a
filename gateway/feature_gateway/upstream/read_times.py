"""How long recent reads took, and so how long a read may fairly take."""

import asyncio
from collections import deque
from math import inf
from statistics import median

_KEPT = 200
_SLOW_QUANTILE = 0.95
_FAIR_MEDIANS = 2
# Shorter than a read on a busy server, however fast recent reads were.
_LEAST_FAIR_S = 0.005


class ReadTimes:
    """The times of the last answered reads of all feature servers, in seconds."""

    def __init__(self) -> None:
        """Create times of no reads."""
        self._last_answer_s = -inf
        self._took_s: deque[float] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._took_s)

    def add(self, took_s: float) -> None:
        """Add the time of a read that was answered."""
        self._took_s.append(took_s)

    def answered(self) -> None:
        """Note that a server has just answered a caller's read, whatever it said of the caller."""
        self._last_answer_s = asyncio.get_running_loop().time()

    def silent(self, for_s: float) -> bool:
        """Return whether a fair time within the last `for_s` seconds has passed without an answer to any caller."""
        since_answer_s = asyncio.get_running_loop().time() - self._last_answer_s
        return min(for_s, since_answer_s) >= self.fair_s

    @property
    def slow_s(self) -> float:
        """The time that 95 % of recent reads stayed below; 0 when there are none."""
        ordered = sorted(self._took_s)
        return ordered[int(len(ordered) * _SLOW_QUANTILE)] if ordered else 0.0

    @property
    def fair_s(self) -> float:
        """The time after which a read that is not answered is the server's fault, not the caller's haste.

        No shorter than 95 % of recent reads took, nor than twice their median: reads that ran out of time have no part
        in either, and deadlines near the usual time would otherwise look fair.
        """
        return max(_LEAST_FAIR_S, self.slow_s, _FAIR_MEDIANS * median(self._took_s or (0.0,)))
