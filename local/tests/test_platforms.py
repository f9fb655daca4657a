"""The lock has wheels of every runtime dependency for each platform that the README names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from stack_under_test import CHECKOUT

_UV = CHECKOUT / ".local" / "tools" / "bin" / "uv"


@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"])
@pytest.mark.parametrize("package", ["feature-gateway", "streamflow-features", "streamflow-local"])
def test_every_runtime_dependency_has_a_wheel(package: str, platform: str, tmp_path: Path) -> None:
    command = [
        *(str(_UV), "sync", "--dry-run", "--frozen", "--no-build", "--no-dev", "--no-install-workspace"),
        *("--package", package, "--python", sys.executable, "--python-platform", platform),
    ]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "none"), "UV_PYTHON_DOWNLOADS": "never"}
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, check=False, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "+ protobuf==" in result.stderr
