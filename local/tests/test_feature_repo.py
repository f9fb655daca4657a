"""Another Feast repository on the stack: what of its settings is kept, and what is asked of its servers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from stack_under_test import Stack, stack_environment
from streamflow_local.config import ConfigError, StackConfig
from streamflow_local.probe import Probe, StoredRow
from streamflow_local.repository import settings_on_the_stack

_CONTRACT: dict[str, Any] = {
    "entities": [
        {"name": "city", "join_key": "city_code", "dtype": "String"},
        {"name": "driver", "join_key": "driver_id", "dtype": "Int64"},
    ],
    "feature_views": [
        {"name": "driver_city_fv", "entities": ["driver", "city"], "features": [{"name": "tips"}]},
        {"name": "driver_fv", "entities": ["driver"], "features": [{"name": "rating"}, {"name": "trips"}]},
    ],
}


def _repo(folder: Path, text: str) -> Path:
    (folder / "feature_store.yaml").write_text(text, encoding="utf-8")
    return folder


def test_registry_online_store_and_authentication_are_the_stacks_and_the_rest_is_the_repositorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", "duck.db")
    settings = settings_on_the_stack(
        _repo(
            tmp_path,
            "project: shop\nprovider: local\nregistry: s3://team/registry.db\nonline_store: {type: dynamodb}\n"
            "offline_store: {type: duckdb, path: $WAREHOUSE}\nauth: {type: oidc}\nfeature_server: {type: local}\n",
        )
    )
    assert settings["project"] == "shop"
    assert settings["offline_store"] == {"type": "duckdb", "path": "duck.db"}
    assert settings["auth"] == {"type": "no_auth"}
    assert "feature_server" not in settings
    # Feast fills the variables in, which are quoted, and reads the text as YAML after that.
    text = yaml.safe_dump(settings)
    assert "path: ${FEAST_REGISTRY_URL}\n" in text
    assert "connection_string: ${FEAST_REDIS_CONNECTION}\n" in text
    assert "team" not in text
    assert "dynamodb" not in text


@pytest.mark.parametrize("text", ["project: [", "- a list\n"])
def test_settings_that_are_not_yaml_are_refused_without_their_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"feature_store\.yaml can't be read"):
        settings_on_the_stack(_repo(tmp_path, text))


def test_a_folder_that_is_no_repository_is_refused_before_anything_starts(state_dir: Path, tmp_path: Path) -> None:
    stack = Stack(stack_environment(state_dir / "no-repository"), tmp_path)
    result = stack.local("up", "--feature-repo", str(tmp_path))
    assert result.returncode == 1
    assert f"error: FEATURE_REPO: {tmp_path} has no feature_store.yaml" in result.stderr
    assert not stack.status().running
    result = stack.local("up", "--feature-repo", str(tmp_path), "--data", str(tmp_path))
    assert "error: DATA is StreamFlow's data, and FEATURE_REPO is another repository; set one of them" in result.stderr


def test_another_repository_has_a_database_of_its_own_in_each_embedded_store(tmp_path: Path) -> None:
    streamflow = StackConfig.of_environment({})
    other = StackConfig.of_environment({}, feature_repo=tmp_path)
    assert streamflow.database != other.database
    assert other.redis_url == f"{streamflow.redis_url}/1"
    named = {"POSTGRES_URL": "postgresql://u@h/d", "REDIS_URL": "redis://h:1/5"}
    assert StackConfig.of_environment(named, feature_repo=tmp_path).redis_url == "redis://h:1/5"


def test_the_row_that_is_asked_for_is_one_that_is_stored() -> None:
    rows = [
        StoredRow({"shop_id": ("int32_val", 1)}, frozenset({"shop_fv"})),
        StoredRow({"driver_id": ("int64_val", 6)}, frozenset({"a_view_left_out"})),
        StoredRow({"driver_id": ("int64_val", 7)}, frozenset({"driver_fv"})),
    ]
    probe = Probe.choose(_CONTRACT, rows)
    assert probe.references == ["driver_fv:rating", "driver_fv:trips"]
    assert probe.body()["entities"] == {"driver_id": [7]}


def test_without_a_stored_row_the_row_is_made_up(tmp_path: Path) -> None:
    probe = Probe.choose(_CONTRACT, [])
    assert probe.body()["entities"] == {"driver_id": [1], "city_code": ["1"]}
    probe.save(tmp_path / "probe.json")
    assert Probe.load(tmp_path / "probe.json").body() == json.loads(json.dumps(probe.body()))


def test_a_contract_without_a_view_has_nothing_to_ask_for() -> None:
    with pytest.raises(LookupError, match="no feature view that the gateway can serve"):
        Probe.choose({"entities": [], "feature_views": []}, [])
