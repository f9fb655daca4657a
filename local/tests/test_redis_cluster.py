"""A Redis Cluster serves the same values as one Redis; if a primary fails, reads fail until its replica takes over."""

import asyncio
import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64
from redis_cluster import Cluster, running_cluster
from stack_under_test import Stack, stack_environment
from streamflow_features import FeatureClient, FeatureServingError, UserFeatures
from streamflow_local import postgres
from streamflow_local.waiting import wait_until
from streamflow_offline.generate import generate_months
from streamflow_repo.server.newest_wins import NewestWinsRedisOnlineStore
from streamflow_repo.settings.connections import ONLINE_STORE

pytestmark = pytest.mark.slow

_USERS = 300
_FAILOVER_TIMEOUT_S = 20


@pytest.fixture(scope="module")
def cluster(state_dir: Path) -> Iterator[Cluster]:
    with running_cluster(state_dir / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def stack(cluster: Cluster, postgres_socket_dir: Path, state_dir: Path) -> Iterator[Stack]:
    months = state_dir / "few-users"
    generate_months(months, users=_USERS, months=1)
    postgres.create_database(postgres_socket_dir, "clustered")
    stack = Stack(
        {
            **stack_environment(state_dir / "clustered"),
            "POSTGRES_URL": postgres.url(postgres_socket_dir, "clustered"),
            "REDIS_URL": cluster.url,
            "FEATURE_SERVER_REPLICAS": "1",
        },
        months,
    )
    result = stack.local("up", "--data", str(months))
    try:
        assert result.returncode == 0, result.stdout + result.stderr
        yield stack
    finally:
        stack.local("down")


def test_users_are_spread_over_the_primaries_and_served_as_postgresql_has_them(cluster: Cluster, stack: Stack) -> None:
    keys = cluster.keys()
    assert min(keys) > _USERS / 4
    # The audit reads users of all primaries in one call, and exits with 1 if a value differs.
    stack.offline("audit-skew", "--gateway", stack.gateway)


@pytest.mark.parametrize("by", ["sync", "async"])
def test_an_older_row_leaves_a_newer_one_on_every_primary(cluster: Cluster, by: str) -> None:
    """Also on primaries that don't have the script yet, and where users of several primaries are in one batch."""
    view = FeatureView(
        name="rows_fv",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)],
        schema=[Field(name="row", dtype=Int64)],
        source=FileSource(name="unread", path="unread.parquet", timestamp_field="event_timestamp"),
    )
    store, config = NewestWinsRedisOnlineStore(), _cluster_config(cluster, project=f"rows_{by}")
    users = [EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=str(user))]) for user in range(_USERS)]

    def write(day: int) -> None:
        data: list[Any] = [
            (user, {"row": Value(int64_val=day)}, datetime(2024, 1, day, tzinfo=UTC), None) for user in users
        ]
        if by == "sync":
            store.online_write_batch(config, view, data, None)
        else:
            asyncio.run(write_async(data))

    async def write_async(data: list[Any]) -> None:
        try:
            await store.online_write_batch_async(config, view, data, None)
        finally:
            # One client an event loop: Feast keeps it for good and has no way to close it.
            client, store._client_async = store._client_async, None
            if client is not None:
                await client.aclose()

    for port in cluster.ports[:3]:
        with redis.Redis(port=port) as client:
            client.script_flush()
    for day, newest in ((2, 2), (1, 2), (3, 3)):
        write(day)
        read = store.online_read(config, view, users, ["row"])
        assert {values["row"].int64_val for _, values in read if values is not None} == {newest}
        assert {moment for moment, _ in read} == {datetime(2024, 1, newest, tzinfo=UTC)}


def _cluster_config(cluster: Cluster, *, project: str) -> RepoConfig:
    return RepoConfig(
        project=project,
        provider="local",
        registry={"registry_type": "file", "path": "unread.db"},
        online_store={
            "type": ONLINE_STORE,
            "redis_type": "redis_cluster",
            "connection_string": cluster.url.removeprefix("redis-cluster://"),
        },
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )


def test_reads_go_on_once_a_replica_has_taken_over(cluster: Cluster, stack: Stack) -> None:
    with (stack.newest.path / "users.csv").open(encoding="utf-8", newline="") as file:
        users = [row["user_id"] for row in csv.DictReader(file)]

    with FeatureClient(stack.gateway, timeout_s=2) as client:

        def read() -> list[dict[str, object]]:
            return [dict(_features(result)) for result in client.batch_get_user_features(users)]

        before = read()
        cluster.kill_a_primary()
        wait_until(read, failing=FeatureServingError, timeout_s=_FAILOVER_TIMEOUT_S, complaint=lambda: "no failover")

        assert read() == before
    assert cluster.role_of_the_replica() == "master"


def _features(result: UserFeatures | FeatureServingError) -> UserFeatures:
    if isinstance(result, FeatureServingError):
        raise result
    return result
