"""What a rate takes by what was measured."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hostile_urls import environments, leaks
from streamflow_loadtests.capacity.costs import Costs, CostsError, Measured, Point
from streamflow_loadtests.capacity.replicas import UnreachableError, per_pair, replicas

_COSTS = Costs(
    features=14,
    gateway_call_s=0.0003,
    gateway_read_s=0.0005,
    feature_server_read_s=0.001,
    feature_server_user_s=0.0001,
    store_user_s=0.00001,
    read_time_s=0.0012,
    read_time_user_s=0.00012,
    gateway_rss_mb=50,
    feature_server_rss_mb=250,
    store_user_bytes=400,
    reply_bytes=582,
)


def _point(calls_per_s: float, *, p99_ms: float = 5, cores: float = 0.5, void: bool = False) -> Point:
    return Point(
        calls_per_s=calls_per_s,
        p50_s=0.002,
        p99_s=p99_ms / 1000,
        users_a_read=2,
        gateway_cores=cores,
        feature_server_cores=0.4,
        late_s=0.001,
        void=void,
    )


_MEASURED = Measured(costs=_COSTS, points=(_point(500), _point(1500, p99_ms=15, cores=0.7), _point(2000, cores=0.8)))


def test_a_pair_is_loaded_as_far_as_it_was_measured_to_keep_to_its_time_and_its_core() -> None:
    assert per_pair(_MEASURED.points, p99_ms=14).calls_per_s == 500
    assert per_pair(_MEASURED.points, p99_ms=1000).calls_per_s == 1500
    assert per_pair((_point(500), _point(600, void=True)), p99_ms=1000).calls_per_s == 500


def test_a_time_that_no_measurement_kept_is_refused_with_what_was_measured() -> None:
    with pytest.raises(UnreachableError, match=r"^4 ms can't be kept .*: 500 calls/s: p99 5\.0 ms, 50% of a core; 1"):
        per_pair(_MEASURED.points, p99_ms=4)
    with pytest.raises(UnreachableError, match=r"50% of a core, void$"):
        per_pair((_point(500, void=True),), p99_ms=1000)


def test_a_plan_has_a_pair_to_spare_and_as_many_stores_as_their_cores_need() -> None:
    found = replicas(_MEASURED, calls_per_s=100_000, p99_ms=20, users=10_000_000)
    assert (found.pairs - 2) * found.pair.calls_per_s < 100_000 <= (found.pairs - 1) * found.pair.calls_per_s
    assert found.store_primaries == 2
    assert found.store_gb == pytest.approx(4)
    assert found.memory_gb == pytest.approx(found.pairs * 0.3)
    assert found.cores == pytest.approx(100_000 / 1500 * 1.1)
    dearer = replace(_MEASURED, costs=replace(_COSTS, store_user_s=0.00002))
    twice = replicas(dearer, calls_per_s=100_000, p99_ms=20, users=1)
    assert twice.store_primaries == 3


def test_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"machine": {}, **_MEASURED.as_json()}))
    assert Measured.of_file(path) == _MEASURED


@pytest.mark.parametrize("content", ["", "{}", '{"costs": {"features": 14}}', None])
def test_a_file_without_costs_is_refused_with_what_to_do(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "costs.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CostsError, match="capacity measure --json"):
        Measured.of_file(path)


@pytest.mark.slow
def test_costs_are_measured_and_planned_with(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    _capacity("measure", "--duration", "1", "--json", str(path))
    measured = Measured.of_file(path)
    costs = measured.costs
    assert costs.features == 14
    assert costs.gateway_call_s > 0
    assert len(json.loads(path.read_text())["points"]) == 7
    # Which rates a busy machine keeps to is not what is tried.
    path.write_text(json.dumps(replace(measured, points=_MEASURED.points).as_json()))
    assert "10,000" in _capacity("plan", "--costs", str(path), "--rate", "10000", "--p99-ms", "1000")


def _capacity(*arguments: str) -> str:
    command = [sys.executable, "-c", "from streamflow_loadtests.capacity.command import main; main()", *arguments]
    # It has stores of its own; URLs of the environment are not told either.
    environment = {**os.environ, **next(environments())}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=environment)
    assert leaks(done.stdout + done.stderr) == []
    return done.stdout
