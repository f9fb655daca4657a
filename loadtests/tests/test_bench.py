"""A tiny run of the real thing: stores, Feast, the gateway, one load."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hostile_urls import environments, leaks
from html_pages import read_page

_BENCH = Path(sys.executable).parent / "bench"


@pytest.mark.slow
def test_a_tiny_run_measures_feast_the_gateway_and_the_bound(tmp_path: Path) -> None:
    names = ("tuned", "listen", "gateway", "gateway:grpc.aio", "gateway:threads", "gateway-tuned", "echo")
    chosen = [argument for name in (*names, "feast-go", "gateway:go") for argument in ("--arm", name)]
    workloads = ["--callers", "2", "--users", "1", "--users", "10"]
    arguments = [*chosen, *workloads, "--rounds", "1", "--duration", "0.3", "--out", str(tmp_path), "--require-targets"]
    arguments += ["--html", str(tmp_path / "bench.html")]
    # A benchmark has stores of its own; URLs of the environment are not told either.
    environment = {**os.environ, **next(environments())}
    environment = {name: value for name, value in environment.items() if name not in {"FEAST_GO_SERVER", "GO_CALLER"}}
    result = subprocess.run(
        [str(_BENCH), *arguments], check=False, capture_output=True, text=True, timeout=480, env=environment
    )
    assert leaks(result.stdout + result.stderr) == []
    # What the targets name was not measured.
    assert result.returncode == 1, result.stdout + result.stderr
    assert (tmp_path / "bench.json").is_file(), result.stdout + result.stderr
    assert "gateway-tuned" in read_page((tmp_path / "bench.html").read_text(encoding="utf-8")).text
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [(cell["arm"], cell["users"], cell["callers"], cell["errors"]) for cell in found["cells"]] == [
        *((arm, 1, 2, 0) for arm in names),
        # The echo knows one user.
        *((arm, 10, 2, 0) for arm in names if arm != "echo"),
    ]
    assert set(found["skipped"]) == {"feast-go", "gateway:go"}
    gateway = found["cells"][2]
    assert set(gateway["cpu_s_per_1000"]) == {"gateway", "feature-server", "valkey"}
    assert set(gateway["role_cpu_s_per_1000"]) == {"gateway", "feature server", "Valkey"}
    assert all(cell["calls"] > 0 and cell["p50_ms"] <= cell["max_ms"] for cell in found["cells"])
    assert found["users"] == 7043
    assert {ratio["to"] for ratio in found["ratios"] if ratio["of"] == "gateway"} == set(names) - {"gateway"}
    assert "| 10 | 2 | gateway / tuned |" in (tmp_path / "bench.md").read_text()
    assert (tmp_path / "bench.svg").is_file()
    assert "gateway / echo" in result.stdout
    assert "feast-go is left out: FEAST_GO_SERVER is not set" in result.stdout
    assert "not measured" in result.stdout
    assert not [process for process in psutil.process_iter(["cmdline"]) if "streamflow-bench-" in str(process.info)]
