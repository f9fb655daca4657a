"""Prometheus beside a drill, with rules that are as many times faster as faults are shorter than in production."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamflow_loadtests.bed.bed import Bed

from streamflow_monitoring.history import OrdinaryDay
from streamflow_monitoring.programs import PROMETHEUS, program, pushgateway
from streamflow_monitoring.prometheus import scraped, scraping
from streamflow_monitoring.rules import write_faster

FACTOR = 30
"""How many times faster the rules are: five minutes are ten seconds. Starts of processes are as slow as ever."""

STRETCHED = 8.0
"""How many times longer than in `make drill` faults last: three seconds are 24, and stand for twelve minutes."""

_DAY_S = 86_400
_SCRAPE_S = 15
_HISTORY_S = 60
_JOB = "gateway"
_BEFORE = "yesterday:0"
"""The instance of the ordinary day: none that runs. If the day had a gateway's name, its counters would follow
with lower values. Prometheus would take that for a restart. It would then count the calls of earlier drills as new."""


@dataclass
class AlertWatch:
    """Watches a drill, and says which alerts fired."""

    folder: Path
    """A folder of the watch's own, for Prometheus' data and logs."""

    calls_per_s: float
    """The rate of calls of the day before the fault."""

    fired: frozenset[str] = field(default=frozenset(), init=False)
    """The alerts that fired at any time, once the watch has ended."""

    @asynccontextmanager
    async def __call__(self, bed: Bed) -> AsyncIterator[None]:
        """Watch the gateways that run now, and the jobs that this process starts."""
        targets = bed.http_addresses()
        ordinary = OrdinaryDay(
            lasts_s=_DAY_S / FACTOR,
            every_s=_HISTORY_S / FACTOR,
            calls_per_s=self.calls_per_s,
            labels={"job": _JOB, "instance": _BEFORE},
        )
        rule_files = await asyncio.to_thread(write_faster, self.folder, FACTOR)
        await ordinary.write(self.folder / "data")
        async with pushgateway(self.folder) as pushgateway_url:
            scrapes = [
                scraped(_JOB, *targets),
                scraped("pushgateway", pushgateway_url.removeprefix("http://"), honor_labels=True),
            ]
            interval_ms = 1000 * _SCRAPE_S // FACTOR
            async with scraping(
                program(PROMETHEUS), self.folder, scrapes=scrapes, rule_files=rule_files, interval_ms=interval_ms
            ) as prometheus:
                yield
                self.fired = frozenset(await prometheus.fired(within="1h"))
