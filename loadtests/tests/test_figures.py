"""From latencies to figures, from rounds to medians, spreads and ratios."""

from dataclasses import replace
from typing import Literal

import pytest
from streamflow_loadtests.bench.figures import Cell, Spread, cell, ratios, spreads
from streamflow_loadtests.bench.load import Load, Window
from streamflow_loadtests.bench.server import Role
from streamflow_loadtests.bench.targets import TARGETS, judged
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.measuring.cpu import Cpu
from streamflow_loadtests.measuring.percentile import percentile

_UNDER_16 = Workload(users=1, callers=16)
_UNDER_64 = Workload(users=1, callers=64)
_ROLES = {"gateway": Role.GATEWAY, "feature-server": Role.FEATURE_SERVER, "valkey": Role.STORE}
_CELL = Cell(
    arm="gateway",
    workload=_UNDER_16,
    round=0,
    calls=1000,
    calls_per_s=100.0,
    p50_ms=1.0,
    p99_ms=2.0,
    p999_ms=3.0,
    max_ms=4.0,
    resends=0,
    cpu_s_per_1000={"gateway": 0.5, "feature-server": 0.3, "valkey": 0.1},
    role_cpu_s_per_1000={Role.GATEWAY: 0.5, Role.FEATURE_SERVER: 0.3, Role.STORE: 0.1},
    client_cpu_s_per_1000=0.2,
    client_share=0.2,
    others_cores=0.0,
    stolen_cores=0.0,
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


def _cell_of(latencies_s: list[float], *, elapsed_s: float, workload: Workload = _UNDER_16) -> Cell:
    load = Load.of(latencies_s, elapsed_s=elapsed_s)
    load.resends = 2
    window = Window(watched={})
    window.before, window.after, window.wall_s = _BEFORE, _AFTER, 4.0
    return cell(load, window, arm="gateway", workload=workload, number=1, roles=_ROLES)


_BEFORE = Cpu(by_process={"gateway": 10.0, "feature-server": 2.0, "valkey": 1.0}, client=5.0, machine=100.0, stolen=7.0)
_AFTER = Cpu(by_process={"gateway": 12.0, "feature-server": 3.0, "valkey": 1.4}, client=6.0, machine=107.0, stolen=9.0)


def test_throughput_is_of_all_replies_until_the_last_of_them() -> None:
    figures = _cell_of([0.003, 0.001, 0.002, 4.0], elapsed_s=5.0)
    assert (figures.calls, figures.calls_per_s, figures.vectors_per_s, figures.resends) == (4, 0.8, 0.8, 2)
    assert [figures.p50_ms, figures.max_ms] == pytest.approx([2, 4000])
    assert figures.cpu_s_per_1000 == pytest.approx({"gateway": 500, "feature-server": 250, "valkey": 100})
    assert figures.server_cpu_s_per_1000 == pytest.approx(850)
    assert figures.client_cpu_s_per_1000 == pytest.approx(250)
    assert figures.client_share == pytest.approx(1 / 4.4)
    # Of the machine's 7 s, 4.4 s were the benchmark's own.
    assert figures.others_cores == pytest.approx(2.6 / 4)
    assert figures.stolen_cores == pytest.approx(0.5)


def test_cpu_time_is_for_feature_vectors_not_calls_and_summed_up_by_role() -> None:
    figures = _cell_of([0.1] * 4, elapsed_s=2.0, workload=Workload(users=100, callers=1))
    assert (figures.calls_per_s, figures.vectors_per_s) == (2.0, 200.0)
    assert figures.role_cpu_s_per_1000 == pytest.approx({Role.GATEWAY: 5, Role.FEATURE_SERVER: 2.5, Role.STORE: 1})
    assert figures.client_cpu_s_per_1000 == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("calls", "p99_ms", "p999_ms"), [(99, None, None), (100, 99.0, None), (999, 990.0, None), (1000, 990.0, 999.0)]
)
def test_a_percentile_of_so_few_calls_that_it_is_the_longest_is_left_out(
    calls: int, p99_ms: float | None, p999_ms: float | None
) -> None:
    figures = _cell_of([number / 1000 for number in range(1, calls + 1)], elapsed_s=1.0)
    assert figures.p99_ms == (None if p99_ms is None else pytest.approx(p99_ms))
    assert figures.p999_ms == (None if p999_ms is None else pytest.approx(p999_ms))
    assert figures.max_ms == pytest.approx(calls)


def test_rounds_are_summed_up_for_each_arm_and_workload_alone() -> None:
    cells = [
        _CELL,
        replace(_CELL, round=1, calls_per_s=300.0, p999_ms=None),
        replace(_CELL, round=2, calls_per_s=200.0),
        replace(_CELL, arm="tuned", calls_per_s=1.0),
        replace(_CELL, workload=_UNDER_64, calls_per_s=9.0),
        replace(_CELL, workload=Workload(users=10, callers=16), calls_per_s=9.0),
    ]
    found = spreads(cells, arm="gateway", workload=_UNDER_16)
    assert found["calls_per_s"] == Spread(median=200.0, low=100.0, high=300.0)
    server = found["server_cpu_s_per_1000"]
    assert server is not None
    assert server.median == pytest.approx(0.9)
    assert found["feature_server_cpu_s_per_1000"] == Spread(median=0.3, low=0.3, high=0.3)
    # One round lacks it.
    assert found["p999_ms"] is None


def test_a_ratio_is_taken_within_a_round() -> None:
    cells = [
        _CELL,
        replace(_CELL, round=1, calls_per_s=300.0, p99_ms=6.0),
        # The rounds of the other arm in another order, and of another number of callers.
        replace(_CELL, arm="tuned", round=1, calls_per_s=100.0, p99_ms=3.0),
        replace(_CELL, arm="tuned", round=0, calls_per_s=200.0, p99_ms=8.0),
        replace(_CELL, arm="tuned", round=0, workload=_UNDER_64, calls_per_s=1.0),
    ]
    found = ratios(cells, of="gateway", to="tuned", workload=_UNDER_16)
    assert found["calls_per_s"] == [0.5, 3.0]
    assert found["p99_ms"] == [0.25, 2.0]
    assert found["server_cpu_s_per_1000"] == [1.0, 1.0]
    assert found["feature_server_cpu_s_per_1000"] == [1.0, 1.0]


def test_a_figure_that_one_of_two_arms_lacks_has_no_ratio() -> None:
    bare = replace(_CELL, arm="echo", p99_ms=None, role_cpu_s_per_1000={Role.OTHER: 0.1})
    found = ratios([_CELL, bare], of="gateway", to="echo", workload=_UNDER_16)
    assert (found["p99_ms"], found["feature_server_cpu_s_per_1000"], found["calls_per_s"]) == ([], [], [1.0])


def test_a_target_is_judged_by_the_median_of_the_ratios() -> None:
    cells = [
        replace(_CELL, arm=arm, workload=_UNDER_64, round=number, calls_per_s=calls_per_s)
        for arm, rounds in (("gateway", (3900.0, 4000.0, 4800.0)), ("stock", (100.0,) * 3), ("feast-go", (2200.0,) * 3))
        for number, calls_per_s in enumerate(rounds)
    ]
    reached = {
        (outcome.target.of, outcome.target.against, outcome.target.figure, outcome.target.workload): outcome
        for outcome in judged(cells)
    }
    assert len(reached) == len(TARGETS)
    assert reached["gateway", "stock", "calls_per_s", _UNDER_64].got == Spread(median=40.0, low=39.0, high=48.0)
    assert reached["gateway", "stock", "calls_per_s", _UNDER_64].reached
    assert not reached["gateway", "feast-go", "calls_per_s", _UNDER_64].reached
    assert not reached["gateway", "stock", "p99_ms", _UNDER_64].reached
    assert reached["gateway-stock", "stock", "calls_per_s", _UNDER_64].got is None
    assert not reached["gateway-stock", "stock", "calls_per_s", _UNDER_64].reached


@pytest.mark.parametrize(
    ("ratio", "bound", "limit", "reached"),
    [(7.0, "≥", "7", True), (6.9, "≥", "7", False), (0.1, "≤", "1/10", True), (0.17, "≤", "1/6", False)],
)
def test_a_target_is_at_least_or_at_most(*, ratio: float, bound: Literal["≥", "≤"], limit: str, reached: bool) -> None:
    assert replace(TARGETS[0], bound=bound, limit=limit).holds(ratio) is reached
