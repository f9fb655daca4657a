"""The images, docker-compose.yml and the manifests hold in containers, where podman is able to run some."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TRIAL = Path(__file__).parent / "containers_trial"
_TIMEOUT_S = 1500


@pytest.mark.slow
@pytest.mark.timeout(_TIMEOUT_S + 60)
def test_everything_that_the_trial_looks_at_holds() -> None:
    for program in ("podman", "podman-compose"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the PATH")
    able = subprocess.run(["podman", "info"], check=False, capture_output=True, text=True, timeout=60)
    if able.returncode:
        pytest.skip(f"podman does not run here: {able.stderr.strip()}")
    trial = subprocess.run(
        [sys.executable, str(_TRIAL)], check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert trial.returncode == 0, trial.stdout + trial.stderr
