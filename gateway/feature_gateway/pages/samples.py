"""Keeps what the metrics said in each of the last seconds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice

from feature_gateway.observer import FeatureServerState
from feature_gateway.pages.rates import QUANTILE_S, Moment, moment_of
from feature_gateway.pages.sample import Sample, sample_of
from feature_gateway.totals import Totals

KEPT_S = 300
_INTERVAL_S = 1.0
# As many as a moment looks back to, and one more.
_RECENT = int(QUANTILE_S / _INTERVAL_S) + 2


class Samples:
    """The samples of the last KEPT_S seconds, one a second, oldest first."""

    def __init__(
        self,
        totals: Callable[[], Totals],
        servers: Callable[[], Mapping[str, FeatureServerState]],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it with a first sample."""
        self._totals = totals
        self._servers = servers
        self._now_s = now_s
        self._kept: deque[Sample] = deque(maxlen=KEPT_S + 1)
        self._moments: deque[Moment] = deque(maxlen=KEPT_S + 1)
        self.take()

    @property
    def kept(self) -> list[Sample]:
        """The samples."""
        return [*self._kept]

    @property
    def moments(self) -> list[Moment]:
        """What is drawn of them. It is made once, with each sample, because a page shows hundreds."""
        return [*self._moments]

    def take(self) -> None:
        """Take a sample."""
        self._kept.append(sample_of(self._totals(), self._servers(), at_s=self._now_s()))
        recent = [*islice(reversed(self._kept), _RECENT)]
        self._moments.append(moment_of(recent[::-1]))

    async def keep_taking(self) -> None:
        """Take a sample every second; go on until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            self.take()
