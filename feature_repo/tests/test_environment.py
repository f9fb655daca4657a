"""A command run through `streamflow_repo.settings` has what feature_store.yaml reads, and takes its place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamflow_repo.settings.connections import feast_environment

_URLS = {"POSTGRES_URL": "postgresql://feast@db/streamflow", "REDIS_URL": "redis://cache"}
_SHOW = "import json, os; print(json.dumps([os.getpid(), dict(os.environ)]))"
_CONTAINER_FEAST = Path(__file__).resolve().parents[1] / "bin" / "feast"


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    return subprocess.run(
        [sys.executable, "-m", "streamflow_repo.settings", *arguments],
        env={**inherited, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("options", "redis_timeout_s"), [([], 0.25), (["--job"], 30.0)])
def test_a_command_has_the_environment_with_the_passwords_of_the_files(
    tmp_path: Path, options: list[str], redis_timeout_s: float
) -> None:
    file = tmp_path / "password"
    file.write_text("se cret\n", encoding="utf-8")
    result = _run(*options, sys.executable, "-c", _SHOW, **_URLS, POSTGRES_PASSWORD_FILE=str(file))
    _, environment = json.loads(result.stdout)
    expected = feast_environment(
        postgres_url="postgresql://feast:se%20cret@db/streamflow",
        redis_url="redis://cache",
        redis_timeout_s=redis_timeout_s,
    )
    assert {name: environment[name] for name in expected} == expected


def test_the_command_is_the_process_that_was_started() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "streamflow_repo.settings", sys.executable, "-c", _SHOW],
        env={**os.environ, **_URLS},
        stdout=subprocess.PIPE,
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert json.loads(output)[0] == process.pid


def test_what_cannot_be_done_is_one_line() -> None:
    missing = _run("true")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("error: POSTGRES_URL and REDIS_URL must be set")
    unknown = _run("/nowhere/feast", **_URLS)
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "error: /nowhere/feast can't be run: No such file or directory\n",
    )
    assert "name a command" in _run(**_URLS).stderr
