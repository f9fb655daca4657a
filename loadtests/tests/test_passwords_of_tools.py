"""The tools that start a stack of their own use no URL of the environment, and show none when they fail."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_urls import environments, leaks

_TIMEOUT_S = 200
_ENVIRONMENTS = list(environments())
_TOOLS: list[tuple[str, list[str]]] = [
    ("bench", ["--arm", "gateway"]),
    ("capacity", ["measure"]),
    ("drill", []),
    ("soak", []),
]


def _run(tool: str, arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / tool), *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, env={**os.environ, **environment}
    )


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "arguments"), _TOOLS)
@pytest.mark.parametrize("environment", _ENVIRONMENTS[::3], ids=["malformed", "unparsable"])
def test_a_tool_that_fails_with_its_stores_up_tells_no_password(
    tool: str, arguments: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    ended = _run(tool, [*arguments, "--data", str(tmp_path)], environment)
    assert ended.returncode == 1
    assert "month" in ended.stderr, ended.stderr
    assert leaks(ended.stdout + ended.stderr) == []
