"""The notebook's outputs are those of a new stack with generated data."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from stack_under_test import Stack, stack_environment

# It starts a stack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_FOLDER = Path(__file__).parents[1]
_NOTEBOOK = _FOLDER / "churn.ipynb"
_TIMEOUT_S = 500


@pytest.fixture(scope="module")
def generated(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a notebook on a stack that no other test has changed."""
    stack = Stack(stack_environment(state_dir / "notebook"), Path("generated"))
    dataset = tmp_path_factory.mktemp("notebook") / "training-set"
    up = stack.local("up")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        stack.offline("training-set", "--out", str(dataset))
        yield {"STREAMFLOW_FEATURES_TARGET": stack.gateway, "CHURN_DATASET": str(dataset)}
    finally:
        stack.local("down")


def _executed(environment: dict[str, str], notebook: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_FOLDER / "execute_notebook.py"), str(notebook), *options],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def test_the_notebook_gives_what_it_was_committed_with(generated: dict[str, str]) -> None:
    done = _executed(generated, _NOTEBOOK, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_output_is_told(tmp_path: Path) -> None:
    other = nbformat.read(_NOTEBOOK, as_version=4)
    other.cells = [cell for cell in other.cells if cell.id == "fit"]
    other.cells[0].source = "2 * 3"
    nbformat.write(other, tmp_path / "other.ipynb")
    done = _executed({}, tmp_path / "other.ipynb", "--check")
    assert done.returncode == 1, done.stdout + done.stderr
    assert {"-True", "+6"} <= set(done.stdout.splitlines())
