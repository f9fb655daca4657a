"""What locust is started with: `locust -f` this file."""

# First of all: importing locust makes the standard library cooperate.
from locust import events, stats

# isort: split
from typing import Any

import gevent

from streamflow_loadtests.load import hooks
from streamflow_loadtests.load.shape import ScenarioShape
from streamflow_loadtests.load.users import FeastHttpUser, GatewayGrpcUser, GatewayHttpUser

__all__ = ["FeastHttpUser", "GatewayGrpcUser", "GatewayHttpUser", "ScenarioShape"]

_FINE_BELOW_MS = 100
_whole_ms = stats.bucket_response_time


def _bucket(response_time: float) -> float:
    """Return a duration as locust keeps it, but to a tenth of a millisecond where locust keeps whole ones."""
    return round(response_time, 1) if response_time < _FINE_BELOW_MS else _whole_ms(response_time)


class _CsvWriter(stats.StatsCSVFileWriter):
    """Ends its greenlet before it closes its files.

    Since locust #3486, locust closes the files while the greenlet that writes them sleeps. On Python 3.13 the greenlet
    wakes up while the process exits, and fails with "I/O operation on closed file".
    """

    _greenlet: Any = None

    def stats_writer(self) -> None:
        self._greenlet = gevent.getcurrent()
        super().stats_writer()

    def close_files(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
        super().close_files()


# Locust documents the first three as settings; it has no setting for the writer.
stats.bucket_response_time = _bucket  # type: ignore[assignment]
stats.PERCENTILES_TO_CHART = [0.5, 0.99]
stats.PERCENTILES_TO_STATISTICS = [0.5, 0.99]
stats.StatsCSVFileWriter = _CsvWriter  # type: ignore[misc]
hooks.register(events)
