"""A tiny run of the real thing: stores, Feast, the gateway, one load."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

_BENCH = Path(sys.executable).parent / "bench"


@pytest.mark.slow
def test_a_tiny_run_measures_feast_the_gateway_and_the_bound(tmp_path: Path) -> None:
    arms = ["--arm", "tuned", "--arm", "listen", "--arm", "gateway", "--arm", "echo"]
    workloads = ["--callers", "2", "--users", "1", "--users", "10"]
    arguments = [*arms, *workloads, "--rounds", "1", "--duration", "0.3", "--out", str(tmp_path), "--require-targets"]
    result = subprocess.run([str(_BENCH), *arguments], check=False, capture_output=True, text=True, timeout=240)
    # What the targets name was not measured.
    assert result.returncode == 1, result.stdout + result.stderr
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [(cell["arm"], cell["users"], cell["callers"], cell["errors"]) for cell in found["cells"]] == [
        *((arm, 1, 2, 0) for arm in ("tuned", "listen", "gateway", "echo")),
        # The echo knows one user.
        *((arm, 10, 2, 0) for arm in ("tuned", "listen", "gateway")),
    ]
    gateway = found["cells"][2]
    assert set(gateway["cpu_s_per_1000"]) == {"gateway", "feature-server", "valkey"}
    assert set(gateway["role_cpu_s_per_1000"]) == {"gateway", "feature server", "Valkey"}
    assert all(cell["calls"] > 0 and cell["p50_ms"] <= cell["max_ms"] for cell in found["cells"])
    assert found["users"] == 7043
    assert {(ratio["of"], ratio["to"], ratio["users"]) for ratio in found["ratios"]} == {
        *(("gateway", other, 1) for other in ("tuned", "listen", "echo")),
        *(("gateway", other, 10) for other in ("tuned", "listen")),
    }
    assert "| 10 | 2 | gateway / tuned |" in (tmp_path / "bench.md").read_text()
    assert (tmp_path / "bench.svg").is_file()
    assert "gateway / echo" in result.stdout
    assert "not measured" in result.stdout
    assert not [process for process in psutil.process_iter(["cmdline"]) if "streamflow-bench-" in str(process.info)]
