"""The route /rows/v1 is off where it would answer other than Feast's routes, or let others read."""

from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore, RepoConfig
from streamflow_repo.server.rows.route import why_off

_REDIS = {"type": "redis", "connection_string": "localhost:1"}
_OIDC = {"type": "oidc", "client_id": "c", "auth_discovery_url": "http://localhost:1"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"online_store": {**_REDIS, "redis_type": "redis_cluster"}}, ""),
        ({"online_store": {**_REDIS, "redis_type": "redis_sentinel"}}, "the online store is not a Redis"),
        ({"online_store": {"type": "sqlite"}}, "the online store is not a Redis"),
        ({"auth": {"type": "kubernetes"}}, "Feast checks who may read"),
        ({"auth": _OIDC}, "Feast checks who may read"),
        ({"feature_server": {"type": "local", "audit_logging": {"enabled": True}}}, "Feast logs who reads"),
        ({"feature_server": {"type": "local", "metrics": {"audit_logging": True}}}, "Feast logs who reads"),
    ],
)
def test_the_route_is_off(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    settings: dict[str, Any] = {
        "project": "rows",
        "provider": "local",
        "registry": str(tmp_path / "registry.db"),
        "online_store": _REDIS,
        "entity_key_serialization_version": 3,
        **changed,
    }
    assert why_off(FeatureStore(config=RepoConfig(**settings))).startswith(reason)
    assert bool(why_off(FeatureStore(config=RepoConfig(**settings)))) == bool(reason)
