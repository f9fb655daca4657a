"""A tiny run of the real thing: stores, Feast, the gateway, one load."""

import json
import subprocess
import sys
from pathlib import Path

import psutil

_BENCH = Path(sys.executable).parent / "bench"


def test_a_tiny_run_measures_the_gateway_and_the_bound(tmp_path: Path) -> None:
    arguments = ["--arm", "gateway", "--arm", "echo", "--callers", "2", "--rounds", "1", "--duration", "0.3"]
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    result = subprocess.run([str(_BENCH), *arguments, *files], check=False, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert [(cell["arm"], cell["callers"], cell["errors"]) for cell in found["cells"]] == [
        ("gateway", 2, 0),
        ("echo", 2, 0),
    ]
    assert set(found["cells"][0]["cpu_s_per_1000"]) == {"gateway", "feature-server", "valkey"}
    assert all(cell["p50_ms"] <= cell["p99_ms"] <= cell["p999_ms"] <= cell["max_ms"] for cell in found["cells"])
    assert found["users"] == 7043
    [ratio] = found["ratios"]
    assert (ratio["of"], ratio["to"], len(ratio["calls_per_s"]["rounds"])) == ("gateway", "echo", 1)
    assert "| 2 | gateway / echo |" in (tmp_path / "out.md").read_text()
    assert "gateway / echo" in result.stdout
    assert not [process for process in psutil.process_iter(["cmdline"]) if "streamflow-bench-" in str(process.info)]
