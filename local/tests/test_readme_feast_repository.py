"""README, "You have a Feast repository": its commands, from wheels in an empty environment."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpcurl import grpcurl
from stack_under_test import CHECKOUT
from streamflow_local import ports
from streamflow_local.process import NOT_INHERITED, ProcessSpec
from streamflow_local.testing import running, wait_for_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_UV = CHECKOUT / ".local" / "tools" / "bin" / "uv"
_TIMEOUT_S = 300


def _section() -> list[list[str]]:
    """The commands of each block of the section; a command may go over several lines."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## You have a Feast repository")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [block.replace("\\\n", " ").strip().splitlines() for block in blocks]


def _uv(*arguments: str) -> None:
    result = subprocess.run(
        [str(_UV), *arguments], cwd=CHECKOUT, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert result.returncode == 0, result.stderr


@dataclass(frozen=True)
class Shell:
    """A shell in an environment that has the wheels, what they need, and nothing else."""

    environment: dict[str, str]
    folder: Path

    def run(self, command: str) -> None:
        result = subprocess.run(
            ["bash", "-eu", "-c", command],
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"

    def process(self, command: str, **environment: str) -> ProcessSpec:
        return ProcessSpec(
            name="process",
            command=("/bin/bash", "-c", f"exec env {command}"),
            environment={**self.environment, **environment},
            directory=self.folder,
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The first block: build the wheels and install them, by uv and with the versions of the lock."""
    build, install = _section()[0]
    folder = tmp_path_factory.mktemp("empty")
    dist, versions, venv = folder / "dist", folder / "versions.txt", folder / "venv"
    assert install == "pip install dist/*.whl"
    packages = build.partition("--wheel-dir dist ")[2].split()
    for package in packages:
        _uv("build", "--quiet", "--wheel", "--out-dir", str(dist), package)
    _uv(
        *("export", "--quiet", "--frozen", "--no-dev", "--all-packages", "--no-emit-workspace", "--no-hashes"),
        *("--output-file", str(versions)),
    )
    _uv("venv", "--quiet", "--python", sys.executable, str(venv))
    wheels = sorted(str(wheel) for wheel in dist.glob("*.whl"))
    assert len(wheels) == len(packages)
    python = str(venv / "bin" / "python")
    _uv("pip", "install", "--quiet", "--python", python, "--constraint", str(versions), *wheels)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GATEWAY_", "FEAST_", "PYTHON", "VIRTUAL_ENV")) and name not in NOT_INHERITED
    }
    return Shell({**inherited, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}, folder)


@pytest.fixture(scope="module")
def answer(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The second block, in its order: what the call at its end is answered."""
    logs = tmp_path_factory.mktemp("logs")
    feast_port, grpc_port, http_port = ports.free_ports(3)
    here = shell
    answered: dict[str, Any] | None = None
    with ExitStack() as processes:
        for command in _section()[1]:
            program = command.removesuffix(" &")
            if command.startswith("cd "):
                here = Shell(here.environment, here.folder / command.removeprefix("cd "))
            elif program == "feast serve":
                processes.enter_context(running(here.process(f"{program} --port {feast_port}"), log=logs / "feast.log"))
                wait_for_port(feast_port, log=logs / "feast.log", timeout_s=150)
            elif program.endswith("feature-gateway"):
                moved = program.replace("127.0.0.1:6566", f"127.0.0.1:{feast_port}")
                spec = here.process(moved, GATEWAY_GRPC_PORT=str(grpc_port), GATEWAY_HTTP_PORT=str(http_port))
                processes.enter_context(running(spec, log=logs / "gateway.log"))
                wait_for_port(grpc_port, log=logs / "gateway.log", timeout_s=150)
            elif program.startswith("grpcurl "):
                answered = grpcurl(shlex.split(program)[1:], f"127.0.0.1:{grpc_port}")
            else:
                here.run(program)
        assert answered is not None
        yield answered


def test_the_wheels_bring_no_package_of_streamflows_own(shell: Shell) -> None:
    shell.run("! python -c 'import streamflow_repo' 2>/dev/null && ! python -c 'import streamflow_local' 2>/dev/null")


def test_the_call_is_answered_with_true_statuses(answer: dict[str, Any]) -> None:
    names = answer["metadata"]["featureNames"]["val"]
    columns = dict(zip(names, answer["results"], strict=True))
    stored = columns["driver_hourly_stats__conv_rate" if "driver_hourly_stats__conv_rate" in columns else "conv_rate"]
    assert stored["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert "floatVal" in stored["values"][0]
    computed = columns["conv_rate_plus_val1"]
    assert computed["statuses"] == ["PRESENT", "NOT_FOUND"]
    rate = stored["values"][0]["floatVal"]
    assert computed["values"][0]["doubleVal"] == pytest.approx(rate + 10, rel=1e-6)
    assert json.dumps(answer)
