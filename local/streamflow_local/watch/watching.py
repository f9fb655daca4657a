"""Looks at a stack again and again."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live

from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_local.watch.figures import figures
from streamflow_local.watch.metrics import Moment, Span, scrape
from streamflow_local.watch.processes import ProcessLook, processes
from streamflow_local.watch.screen import screen

_OVER_S = 10.0
"""The rates and quantiles are those of the last ten seconds; one second's would leap."""

_NOT_RUNNING = "no stack runs here; start one with make up"


@dataclass(frozen=True)
class _Look:
    at_s: float
    processes: Sequence[ProcessLook]


class Watching:
    """What has been seen of a stack."""

    def __init__(self, layout: Layout, *, interval_s: float) -> None:
        """Look at the stack in a layout every `interval_s`."""
        self._layout = layout
        self._interval_s = interval_s
        self._moments: deque[Moment] = deque(maxlen=max(round(_OVER_S / interval_s), 1) + 1)
        self._looks: deque[_Look] = deque(maxlen=2)

    def once(self, console: Console) -> bool:
        """Print what is seen within one interval; return whether a stack runs."""
        self.look()
        time.sleep(self._interval_s)
        running, shown = self.look()
        console.print(shown)
        return running

    def live(self, console: Console) -> None:
        """Show what is seen until Ctrl-C."""
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                _, shown = self.look()
                live.update(shown, refresh=True)
                time.sleep(self._interval_s)

    def look(self) -> tuple[bool, RenderableType]:
        """Look once more; return whether a stack runs, and what is to be shown."""
        try:
            config = StackConfig.load(self._layout)
        except FileNotFoundError:
            return False, _NOT_RUNNING
        self._looks.append(_Look(time.monotonic(), processes(config, self._layout)))
        looks = self._looks[-1].processes
        if not looks:
            self._moments.clear()
            return False, _NOT_RUNNING
        reason = self._scrape(config)
        found, over_s = None, 0.0
        if not reason and len(self._moments) > 1:
            span = Span(self._moments[0], self._moments[-1])
            found, over_s = figures(span), span.seconds
        return True, screen(looks, self._cores(), found, reason=reason or "the first follow at once", over_s=over_s)

    def _scrape(self, config: StackConfig) -> str:
        """Take the gateway's metrics; return why that was not possible, or ""."""
        try:
            self._moments.append(scrape(config, self._layout))
        except (OSError, ValueError) as error:
            self._moments.clear()
            return " ".join(str(error).split()) or type(error).__name__
        return ""

    def _cores(self) -> Mapping[str, float]:
        """Return the CPU that each process used between the last two looks, in cores."""
        first, last = self._looks[0], self._looks[-1]
        before = {(look.name, look.pid): look.cpu_s for look in first.processes}
        return {
            look.name: max(look.cpu_s - earlier, 0.0) / (last.at_s - first.at_s)
            for look in last.processes
            if last is not first
            and look.cpu_s is not None
            and (earlier := before.get((look.name, look.pid))) is not None
        }
