"""The commands of the Feast image work: the jobs, and Feast's own commands through the image's `feast`."""

import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from stack_under_test import BIN, CHECKOUT

_FEATURE_REPO = CHECKOUT / "feature_repo"
_TIMEOUT_S = 240


class Container:
    """The image's PATH, working directory and environment, with the tests' servers."""

    def __init__(self, folder: Path, *, postgres_url: str, redis_url: str) -> None:
        self.contract = folder / "contract.json"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("FEAST_", "PROMETHEUS_"))
        }
        self._environment = {
            **inherited,
            "PATH": f"{_FEATURE_REPO / 'bin'}:{BIN}:{os.environ['PATH']}",
            "POSTGRES_URL": postgres_url,
            "REDIS_URL": redis_url,
            "STREAMFLOW_CONTRACT": str(self.contract),
        }

    def run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=_FEATURE_REPO,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture
def container(tmp_path: Path, postgres_url: str, redis_url: str) -> Container:
    return Container(tmp_path, postgres_url=postgres_url, redis_url=f"{redis_url}/7")


def test_a_sample_is_loaded_into_an_empty_database_alone(container: Container, postgres_url: str) -> None:
    assert container.run("offline", "sample") == "loaded\n"
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DELETE FROM labels_snapshots")
        connection.execute("DELETE FROM usage_agg_30d_snapshots WHERE as_of < '2024-02-01'")
    assert container.run("offline", "sample") == "PostgreSQL has months already\n"
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM labels_snapshots").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM subscriptions_profile_snapshots").fetchone() == (14086,)


@pytest.mark.slow
def test_the_teams_habits_work(container: Container) -> None:
    container.run("offline", "sample")
    container.run("offline", "apply")
    committed = (_FEATURE_REPO / "contract.json").read_text(encoding="utf-8")
    assert container.contract.read_text(encoding="utf-8") == committed

    container.contract.unlink()
    assert "Deploying infrastructure for subs_profile_fv" in container.run("feast", "apply")
    assert container.contract.read_text(encoding="utf-8") == committed

    assert "churn_v1" in container.run("feast", "feature-services", "list")
    container.run("feast", "materialize", "2024-01-01T00:00:00", "2024-03-01T00:00:00")
    table = container.run("offline", "materialize")
    assert table.count("yes") == 4

    target = container.contract.parent / "training-set"
    container.run("offline", "training-set", "--out", str(target))
    assert json.loads(committed)["hash"] in "".join(path.read_text() for path in target.rglob("*.json"))


def test_feast_without_connections_says_which_are_missing(container: Container) -> None:
    environment = {"PATH": f"{_FEATURE_REPO / 'bin'}:{BIN}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["feast", "apply"], env=environment, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: POSTGRES_URL and REDIS_URL must be set")
    assert not container.contract.exists()
