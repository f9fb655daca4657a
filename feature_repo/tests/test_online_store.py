"""The feature servers' online store answers what Feast's own answers, from what Feast's own has written."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.types import Float64, Int64, String
from streamflow_repo.server.online_store import OneReadRedisOnlineStore

_OURS = "streamflow_repo.server.online_store.OneReadRedisOnlineStore"
_NOW = datetime(2024, 2, 29, tzinfo=UTC)

_user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
_plan = Entity(name="plan", join_keys=["plan_id"], value_type=ValueType.STRING)
_source = FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp")
_profile = FeatureView(
    name="profile_fv",
    entities=[_user],
    schema=[Field(name="fee", dtype=Float64), Field(name="net", dtype=String)],
    source=_source,
)
_usage = FeatureView(
    name="usage_fv", entities=[_user], schema=[Field(name="skips", dtype=Int64), Field(name="fee", dtype=Float64)],
    source=_source,
)  # fmt: skip
_price = FeatureView(name="price_fv", entities=[_plan], schema=[Field(name="price", dtype=Float64)], source=_source)
_service = FeatureService(name="all_v1", features=[_usage[["skips"]], _price, _profile])


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> tuple[FeatureStore, FeatureStore]:
    """Feast's own store, which is written to, and the feature servers'."""
    folder = tmp_path_factory.mktemp("online-store")
    feasts, ours = (_store(folder, redis_url, kind) for kind in ("redis", _OURS))
    feasts.apply([_user, _plan, _profile, _usage, _price, _service])
    _write(feasts, "profile_fv", user_id=["a", "b"], fee=[29.85, None], net=["DSL", None])
    _write(feasts, "usage_fv", user_id=["b", "c"], skips=[3, None], fee=[1.5, 2.5])
    _write(feasts, "price_fv", plan_id=["basic"], price=[9.6])
    return feasts, ours


def _store(folder: Path, redis_url: str, kind: str) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="online_store",
            provider="local",
            registry={"registry_type": "file", "path": str(folder / "registry.db")},
            online_store={"type": kind, "connection_string": redis_url.removeprefix("redis://")},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
    )


def _write(store: FeatureStore, view: str, **columns: list[Any]) -> None:
    rows = len(next(iter(columns.values())))
    stamps = [_NOW + timedelta(days=row) for row in range(rows)]
    store.write_to_online_store(view, pd.DataFrame({**columns, "event_timestamp": stamps}))


@pytest.mark.parametrize(
    ("features", "full_names"),
    [
        pytest.param(["profile_fv:fee", "profile_fv:net"], False, id="one view"),
        pytest.param(["usage_fv:fee", "profile_fv:net", "usage_fv:skips", "profile_fv:fee"], True, id="two views"),
        pytest.param(["profile_fv:fee", "price_fv:price", "usage_fv:skips"], False, id="two entities"),
        pytest.param("all_v1", True, id="a feature service"),
    ],
)
def test_replies_are_feasts_own(
    stores: tuple[FeatureStore, FeatureStore], features: list[str] | str, *, full_names: bool
) -> None:
    entities = {"user_id": ["b", "nobody", "a", "c", "b"], "plan_id": ["basic", "basic", "none", "basic", "none"]}
    if "price_fv:price" not in features and features != "all_v1":
        del entities["plan_id"]

    feasts, ours = (_read(store, features, entities, full_names=full_names) for store in stores)

    assert ours == feasts
    assert any(value is not None for column in ours.values() for value in column["values"])


def test_it_is_the_online_store_that_the_name_stands_for(stores: tuple[FeatureStore, FeatureStore]) -> None:
    assert type(_online_store(stores[1])) is OneReadRedisOnlineStore


def _online_store(store: FeatureStore) -> RedisOnlineStore:
    online_store = store._get_provider().online_store
    assert isinstance(online_store, RedisOnlineStore)
    return online_store


def _read(
    store: FeatureStore, features: list[str] | str, entities: Mapping[str, list[str]], *, full_names: bool
) -> dict[str, Any]:
    """Return the reply by feature name: Feast gives its columns in no stable order."""
    wanted = store.get_feature_service(features) if isinstance(features, str) else features

    async def read() -> Any:
        # One client an event loop: Feast keeps it for good and has no way to close it.
        online_store = _online_store(store)
        try:
            return await store.get_online_features_async(
                features=wanted, entity_rows=dict(entities), full_feature_names=full_names
            )
        finally:
            client, online_store._client_async = online_store._client_async, None
            if client is not None:
                await client.aclose()

    proto = asyncio.run(read()).proto
    return {
        name: {
            "values": [_native(value) for value in column.values],  # noqa: PD011  # a message's field
            "statuses": list(column.statuses),
            "stamps": [stamp.ToNanoseconds() for stamp in column.event_timestamps],
        }
        for name, column in zip(proto.metadata.feature_names.val, proto.results, strict=True)
    }


def _native(value: Any) -> Any:
    field = value.WhichOneof("val")
    return None if field is None else getattr(value, field)
