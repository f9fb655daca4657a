"""The day of ordinary calls that stands before a fault, as Prometheus reads it."""

from pathlib import Path

import pytest
from streamflow_monitoring.history import OrdinaryDay
from streamflow_monitoring.prometheus import scraping
from streamflow_monitoring.rules import write_faster

pytestmark = pytest.mark.slow

_FACTOR = 30


async def test_the_longest_windows_are_full_of_calls_that_are_answered_in_time(
    prometheus: Path, promtool: Path, tmp_path: Path
) -> None:
    assert promtool.name == "promtool"
    ordinary = OrdinaryDay(
        lasts_s=86_400 / _FACTOR, every_s=2.0, calls_per_s=200.0, labels={"job": "gateway", "instance": "a"}
    )
    await ordinary.write(tmp_path / "data")
    # A day is 48 minutes.
    calls = "sum by (job) (increase(gateway_calls_total[48m]))"
    slow = 'sum(gateway_call_duration_seconds_count) - sum(gateway_call_duration_seconds_bucket{le="0.02"})'
    rules = write_faster(tmp_path, _FACTOR)
    async with scraping(prometheus, tmp_path, scrapes=[], rule_files=rules) as running:
        assert await running.value(calls) == pytest.approx(200 * 86_400 / _FACTOR, rel=0.01)
        assert await running.value(slow) == 0
