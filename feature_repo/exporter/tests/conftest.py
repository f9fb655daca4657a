"""A repository with a definition of every kind, applied by Feast's own command."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any

import pandas as pd
import pytest

_TRIAL_REPO = Path(__file__).parent / "trial_repo"


@pytest.fixture(scope="session")
def trial_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trial repository, applied."""
    repo = shutil.copytree(_TRIAL_REPO, tmp_path_factory.mktemp("trial") / "repo")
    (repo / "data").mkdir()
    rows = pd.DataFrame({"event_timestamp": [datetime(2026, 11, 1, tzinfo=UTC)], "rider_id": [1]})
    rows.to_parquet(repo / "data" / "rows.parquet")
    command = [str(Path(sys.executable).parent / "feast"), "apply", "--skip-source-validation", "--no-progress"]
    # Half of the command's time is typeguard's, which leaves its checks out under -O.
    environment = {**os.environ, "PYTHONOPTIMIZE": "1"}
    result = subprocess.run(
        command, cwd=repo, env=environment, check=False, capture_output=True, text=True, timeout=250
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return repo


@pytest.fixture(autouse=True)
def closed_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what Feast leaves open: Python 3.13 warns of an open SQLite database that is collected."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noting(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        opened.append(connection)
        return connection

    for module in (sqlite3, dbapi2):
        monkeypatch.setattr(module, "connect", noting)
    yield
    for connection in opened:
        connection.close()
