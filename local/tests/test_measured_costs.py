"""The scripts that measure what a part of the gateway costs, on a running stack."""

import subprocess
import sys
from pathlib import Path

import pytest
from stack_under_test import CHECKOUT, Stack

pytestmark = pytest.mark.slow

_SCRIPTS = CHECKOUT / "loadtests" / "tests" / "support"


def _printed(stack: Stack, script: str, *arguments: str) -> list[str]:
    """Return the lines of a script that is run as its README says."""
    command = stack.in_shell(sys.executable, str(_SCRIPTS / script), *arguments)
    done = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_traces_are_measured_beside_a_gateway_without_their_code(stack: Stack, tmp_path: Path) -> None:
    assert _printed(stack, "without_traces.py", str(tmp_path)) == []
    lines = _printed(stack, "tracing_cost.py", str(tmp_path / "feature-gateway"), "--quick")
    assert [line.partition(":")[0] for line in lines] == ["off", "off again", "before", "1 %", "1 % and pages", "all"]


def test_checked_callers_and_tls_are_measured_merged_and_not(stack: Stack) -> None:
    lines = _printed(stack, "access_cost.py", "--quick")
    callers = ("open", "checked", "checked, TLS")
    expected = [f"{caller}, {merging}" for merging in ("merged", "not merged") for caller in callers]
    assert [line.partition(":")[0] for line in lines] == expected
