"""Logs the start and the end of each kind of failure of a feature server, not every read."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamflow_logs import Event

_log = logging.getLogger(__name__)

QUIET_S = 5.0
"""A kind of failure ends with the first answer this long after its last: a server that flaps has failed once."""

MAX_KINDS = 8
"""How many kinds are followed at a time; texts of failures may differ from read to read."""

_MAX_SHOWN = 1000


@dataclass
class _Kind:
    began_s: float
    last_s: float
    not_logged: int = 0


class FailureLog:
    """Logs each new kind of a server's failures, and at its end how often it occurred and how long it lasted."""

    def __init__(self, url: str, *, now: Callable[[], float] = time.monotonic) -> None:
        """Create the log of a server; `now` is a clock in seconds."""
        self._url = url
        self._now = now
        self._kinds: dict[str, _Kind] = {}

    def failed(self, what: str) -> None:
        """Log a failure of a new kind; count a known kind; ignore a new kind if MAX_KINDS are followed."""
        what, now_s = what[:_MAX_SHOWN], self._now()
        kind = self._kinds.get(what)
        if kind is not None:
            kind.last_s = now_s
            kind.not_logged += 1
        elif len(self._kinds) < MAX_KINDS:
            self._kinds[what] = _Kind(now_s, now_s)
            _log.warning(Event("feature server failed", reason=what, feature_server=self._url))

    def succeeded(self) -> None:
        """Log the kinds that have ended."""
        if not self._kinds:
            return
        now_s = self._now()
        for what, kind in list(self._kinds.items()):
            if now_s - kind.last_s >= QUIET_S:
                del self._kinds[what]
                _log.info(
                    Event(
                        "feature server failed no more",
                        reason=what,
                        feature_server=self._url,
                        count=kind.not_logged,
                        lasted_s=kind.last_s - kind.began_s,
                    )
                )
