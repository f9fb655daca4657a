"""The commands over Spark, each a process of its own, as a team runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from online_stores import VIEWS, OnlineStores
from spark_runs import write_defaults
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from training_sets import build, file_bytes

_BIN = Path(sys.executable).parent
_CONNECTIONS = [sys.executable, "-m", "streamflow_repo.settings", "--job"]


def _run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.mark.slow
def test_export_apply_training_set_and_feasts_materialize(online_stores: OnlineStores, tmp_path: Path) -> None:
    generate_months(tmp_path / "months", users=200, months=2, seed=1)
    ingest(tmp_path / "months", postgres_url=online_stores.postgres_url)
    build(online_stores.postgres_url, tmp_path / "of_postgres")
    online_stores.materialize()
    of_postgres = online_stores.hashes()
    with online_stores.redis() as client:
        client.flushdb()
    write_defaults(tmp_path / "conf")
    environment = {
        "POSTGRES_URL": online_stores.postgres_url,
        "REDIS_URL": online_stores.redis_url,
        "FEAST_OFFLINE_STORE": "spark",
        "FEAST_SPARK_DATA": str(tmp_path / "data"),
        "SPARK_CONF_DIR": str(tmp_path / "conf"),
        "JAVA_HOME": "/nowhere",
    }

    contract = f"--contract={tmp_path / 'contract.json'}"
    early = _run(_BIN / "offline", "apply", contract, **environment)
    assert early.returncode == 1
    assert "_snapshots" in early.stderr.splitlines()[-1], early.stderr
    commands: list[list[str | Path]] = [
        [_BIN / "offline", "export"],
        [_BIN / "offline", "apply", contract],
        [_BIN / "offline", "training-set", "--out", tmp_path / "of_spark"],
        [*_CONNECTIONS, _BIN / "feast", "-c", "feature_repo", "materialize", "2024-01-01", "2024-12-31"],
    ]
    for command in commands:
        result = _run(*command, **environment)
        assert result.returncode == 0, result.stdout + result.stderr

    assert file_bytes(tmp_path / "of_spark") == file_bytes(tmp_path / "of_postgres")
    assert len(VIEWS) == 4
    assert online_stores.hashes() == of_postgres
    refused = _run(_BIN / "offline", "materialize", **environment)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "FEAST_OFFLINE_STORE=postgres" in refused.stderr
