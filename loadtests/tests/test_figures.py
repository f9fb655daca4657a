"""From latencies to figures, from rounds to medians, spreads and ratios."""

from dataclasses import replace

import pytest
from streamflow_loadtests.client import Load
from streamflow_loadtests.measure import Cell, Cpu, Spread, cell, percentile, ratios, spreads

_CELL = Cell(
    arm="gateway",
    callers=16,
    round=0,
    calls=1000,
    calls_per_s=100.0,
    p50_ms=1.0,
    p99_ms=2.0,
    p999_ms=3.0,
    max_ms=4.0,
    resends=0,
    cpu_s_per_1000={"gateway": 0.5, "valkey": 0.1},
    client_cpu_s_per_1000=0.2,
    others_cores=0.0,
)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.999, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 101)], 0.999, 100.0),
        ([float(n) for n in range(1, 1001)], 0.999, 999.0),
        ([1.0, 2.0], 0.0, 1.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


def test_a_spread_is_median_lowest_and_highest() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(median=2.0, low=1.0, high=3.0)
    assert Spread.of([4.0, 1.0]) == Spread(median=2.5, low=1.0, high=4.0)


def test_throughput_counts_the_replies_in_time_and_latency_counts_all() -> None:
    load = Load(duration_s=2.0, latencies_s=[0.003, 0.001, 0.002, 4.0], in_time=3)
    before = Cpu(by_process={"gateway": 10.0, "valkey": 1.0}, client=5.0, machine=100.0)
    after = Cpu(by_process={"gateway": 12.0, "valkey": 1.4}, client=6.0, machine=106.0)
    figures = cell(load, arm="gateway", callers=4, number=1, resends=2, before=before, after=after, wall_s=4.0)
    assert (figures.calls, figures.calls_per_s, figures.resends) == (4, 1.5, 2)
    assert [figures.p50_ms, figures.p99_ms, figures.p999_ms, figures.max_ms] == pytest.approx([2, 4000, 4000, 4000])
    assert figures.cpu_s_per_1000 == pytest.approx({"gateway": 500, "valkey": 100})
    assert figures.server_cpu_s_per_1000 == pytest.approx(600)
    assert figures.client_cpu_s_per_1000 == pytest.approx(250)
    # Of the machine's 6 s, 3.4 s were the benchmark's own.
    assert figures.others_cores == pytest.approx(2.6 / 4)


def test_rounds_are_summed_up_for_each_arm_and_number_of_callers_alone() -> None:
    cells = [
        _CELL,
        replace(_CELL, round=1, calls_per_s=300.0),
        replace(_CELL, round=2, calls_per_s=200.0),
        replace(_CELL, arm="tuned", calls_per_s=1.0),
        replace(_CELL, callers=64, calls_per_s=9.0),
    ]
    found = spreads(cells, arm="gateway", callers=16)
    assert found["calls_per_s"] == Spread(median=200.0, low=100.0, high=300.0)
    assert found["server_cpu_s_per_1000"].median == pytest.approx(0.6)


def test_a_ratio_is_taken_within_a_round() -> None:
    cells = [
        _CELL,
        replace(_CELL, round=1, calls_per_s=300.0, p99_ms=6.0),
        # The rounds of the other arm in another order, and of another number of callers.
        replace(_CELL, arm="tuned", round=1, calls_per_s=100.0, p99_ms=3.0),
        replace(_CELL, arm="tuned", round=0, calls_per_s=200.0, p99_ms=8.0),
        replace(_CELL, arm="tuned", round=0, callers=64, calls_per_s=1.0),
    ]
    found = ratios(cells, of="gateway", to="tuned", callers=16)
    assert found["calls_per_s"] == [0.5, 3.0]
    assert found["p99_ms"] == [0.25, 2.0]
    assert found["server_cpu_s_per_1000"] == [1.0, 1.0]
