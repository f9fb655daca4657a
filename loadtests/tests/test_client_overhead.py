"""The measurement of what the Python client costs over a bare stub."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent / "support" / "client_overhead.py"


@pytest.mark.slow
def test_each_kind_of_caller_is_measured_with_stub_and_client() -> None:
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), "--rounds", "2"], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split()[:2] == ["callers", "arm"]
    arms = ("bare stub", "stub with values", "client")
    for line, expected in zip(lines, [f"{kind:8} {arm}" for kind in ("threads", "tasks") for arm in arms], strict=True):
        assert line.startswith(expected)
