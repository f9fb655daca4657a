"""What the capacity model says of rates that were not measured."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow_loadtests.capacity.costs import MAX_BATCH_SIZE, Costs, CostsError
from streamflow_loadtests.capacity.queueing import play
from streamflow_loadtests.capacity.replicas import BUSY_LIMIT, P99_ALLOWANCE, UnreachableError, per_pair, plan

_COSTS = Costs(
    features=14,
    gateway_call_s=0.0003,
    gateway_read_s=0.0005,
    feature_server_read_s=0.001,
    feature_server_user_s=0.0001,
    store_user_s=0.00001,
    read_time_s=0.0012,
    read_time_user_s=0.00012,
    call_time_s=0.0003,
    gateway_rss_mb=50,
    feature_server_rss_mb=250,
    store_user_bytes=400,
    reply_bytes=582,
)


def test_a_call_alone_takes_what_its_parts_take() -> None:
    played = play(_COSTS, 1)
    parts_s = 0.0003 + 0.0005 + 0.0012 + 0.00012 + 0.0003
    assert played.p50_s == pytest.approx(parts_s)
    assert played.users_a_read == pytest.approx(1, abs=0.01)
    assert played.gateway_cores == pytest.approx(0.0008, rel=0.01)


def test_calls_gather_as_the_rate_grows_and_each_then_costs_less() -> None:
    slow, fast = play(_COSTS, 300), play(_COSTS, 2000)
    assert slow.users_a_read < 2 < fast.users_a_read < MAX_BATCH_SIZE
    assert fast.feature_server_cores / 2000 < slow.feature_server_cores / 300
    assert slow.p99_s < fast.p99_s


def test_every_call_is_answered_at_a_rate_that_no_read_without_gathering_could_carry() -> None:
    # A read of one user takes 1.3 ms: 757 a second.
    assert play(_COSTS, 2500).p99_s < 0.05


@settings(deadline=None, max_examples=20)
@given(rate=st.floats(50, 2500), seed=st.integers(0, 1000))
def test_no_call_takes_less_than_its_own_work(rate: float, seed: int) -> None:
    played = play(_COSTS, rate, calls=2000, seed=seed)
    assert played.p99_s >= played.p50_s >= 0.0003 + 0.0012 + 0.00012 + 0.0003
    assert 1 <= played.users_a_read <= MAX_BATCH_SIZE


def test_a_pair_is_loaded_as_far_as_its_time_and_its_core_allow() -> None:
    strict, played = per_pair(_COSTS, p99_ms=6 * P99_ALLOWANCE)
    easy, busy = per_pair(_COSTS, p99_ms=1000)
    assert strict < easy
    assert played.p99_s <= 0.006
    assert busy.gateway_cores == pytest.approx(BUSY_LIMIT, rel=0.05)


def test_a_time_that_a_call_takes_by_itself_is_refused() -> None:
    with pytest.raises(UnreachableError, match="7 ms can't be kept"):
        per_pair(_COSTS, p99_ms=7)


def test_a_plan_has_a_pair_to_spare_and_as_many_stores_as_their_cores_need() -> None:
    found = plan(_COSTS, calls_per_s=100_000, p99_ms=20, users=10_000_000)
    assert (found.pairs - 2) * found.calls_per_s_a_pair < 100_000 <= (found.pairs - 1) * found.calls_per_s_a_pair
    assert found.store_primaries == 2
    assert found.store_gb == pytest.approx(4)
    assert found.memory_gb == pytest.approx(found.pairs * 0.3)
    twice = plan(replace(_COSTS, store_user_s=0.00002), calls_per_s=100_000, p99_ms=20, users=1)
    assert twice.store_primaries == 3


def test_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"costs": _COSTS.as_json()}))
    assert Costs.of_file(path) == _COSTS


@pytest.mark.parametrize("content", ["", "{}", '{"costs": {"features": 14}}', None])
def test_a_file_without_costs_is_refused_with_what_to_do(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "costs.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CostsError, match="capacity measure --json"):
        Costs.of_file(path)


@pytest.mark.slow
def test_costs_are_measured_and_planned_with(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    _capacity("measure", "--duration", "1", "--json", str(path))
    costs = Costs.of_file(path)
    assert costs.features == 14
    assert costs.gateway_call_s > 0
    assert len(json.loads(path.read_text())["points"]) == 3
    assert "10,000" in _capacity("plan", "--costs", str(path), "--rate", "10000", "--p99-ms", "1000")


def _capacity(*arguments: str) -> str:
    command = [sys.executable, "-c", "from streamflow_loadtests.capacity.command import main; main()", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
