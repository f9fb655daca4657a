"""Each fault of `make drill` raises the alerts that the drill and the runbook name, and no others."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamflow_loadtests.bed.bed import Bed, stack_bed
from streamflow_loadtests.drill.alerts import ALERTS
from streamflow_loadtests.drill.catalogue import FAULTS
from streamflow_loadtests.drill.outcome import drill
from streamflow_loadtests.drill.overload import OVERLOAD, overload
from streamflow_monitoring.alert_watch import STRETCHED, AlertWatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_CALLS_PER_S = 100.0
_TIMEOUT_S = 0.25
_OVERLOAD_STRETCHED = 2.0
_FAULTS = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A stack that each fault is done to. Skipped where Prometheus' programs can't be had."""
    for program in ("prometheus", "promtool", "pushgateway_url"):
        request.getfixturevalue(program)
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-alerts-", ignore_cleanup_errors=True) as work,
        stack_bed(months=None, work=Path(work), say=print) as found,
    ):
        yield found


@pytest.mark.parametrize("name", ALERTS)
async def test_a_fault_raises_its_alerts_and_no_others(name: str, bed: Bed, tmp_path: Path) -> None:
    async with bed.asking():
        pass
    watch = AlertWatch(tmp_path, calls_per_s=_CALLS_PER_S)
    if name == OVERLOAD:
        found = await overload(bed, timeout_s=_TIMEOUT_S, stretched=_OVERLOAD_STRETCHED, watch=watch)
        void = found.void
    else:
        fault = _FAULTS[name]
        outcome = await drill(
            fault, bed, calls_per_s=_CALLS_PER_S, timeout_s=_TIMEOUT_S, stretched=STRETCHED, watch=watch
        )
        void = outcome.void
    assert ALERTS[name].complaint(watch.fired, void=void is not None) == "", (sorted(watch.fired), void)
