"""Every module's types hold."""

import subprocess

import pytest
from stack_under_test import BIN, CHECKOUT


# From an empty cache it takes a minute on a core of its own.
@pytest.mark.timeout(900)
def test_mypy_finds_nothing() -> None:
    result = subprocess.run(
        [str(BIN / "mypy"), "--no-error-summary"],
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout + result.stderr
