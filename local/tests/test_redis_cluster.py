"""A Redis Cluster serves the same values as one Redis; if a primary fails, reads fail until its replica takes over."""

import asyncio
import csv
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
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
from streamflow_offline.feast_store import open_store
from streamflow_offline.generate.job import generate_months
from streamflow_repo.server.newest_wins import NewestWinsRedisOnlineStore
from streamflow_repo.settings.connections import ONLINE_STORE
from streamflow_repo.settings.redis_url import open_redis

pytestmark = pytest.mark.slow

_USERS = 300
_FAILOVER_TIMEOUT_S = 20
_TIMEOUT_S = 20
_FEATURES = [
    *(("subs_profile_fv", "months_active"), ("usage_agg_30d_fv", "watch_hours_30d")),
    *(("subs_profile_fv", "monthly_fee"), ("support_agg_90d_fv", "support_tickets_90d")),
]


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
    with stack.up("--data", str(months)):
        yield stack


def test_users_are_spread_over_the_primaries_and_served_as_postgresql_has_them(cluster: Cluster, stack: Stack) -> None:
    keys = cluster.keys()
    assert min(keys) > _USERS / 4
    # The audit reads users of all primaries in one call, and exits with 1 if a value differs.
    stack.offline("audit-skew", "--gateway", stack.gateway)


def test_a_feature_server_reads_from_a_cluster_with_the_account_that_only_reads(cluster: Cluster, stack: Stack) -> None:
    with (stack.newest.path / "users.csv").open(encoding="utf-8") as file:
        users = [row["user_id"] for row in csv.DictReader(file)]
    with open_store(postgres_url=stack.postgres_url, redis_url=cluster.url_of("reader")) as store:
        read = store.get_online_features(
            features=["subs_profile_fv:months_active"], entity_rows=[{"user_id": user_id} for user_id in users]
        ).to_dict()
    assert None not in read["months_active"]
    with open_redis(cluster.url_of("reader"), timeout_s=5) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.set("a", "b")


def test_the_rows_route_reads_users_of_all_primaries_in_one_call(cluster: Cluster, stack: Stack) -> None:
    """A key that does not hold a hash fails the call, as it fails Feast's route. The reads after it are whole."""
    references = [f"{view}:{feature}" for view, feature in _FEATURES]
    users = [*_user_ids(stack), "0000-NOONE"]

    def rows(asked: list[str]) -> tuple[int, Any]:
        body = msgspec.msgpack.encode([msgspec.msgpack.encode(references), {"user_id": asked}])
        status, answer = _ask(stack, "/rows/v1", body)
        return status, msgspec.msgpack.decode(answer) if status == 200 else json.loads(answer)

    def by_json(asked: list[str]) -> tuple[int, Any]:
        question = {"features": references, "entities": {"user_id": asked}, "full_feature_names": True}
        status, answer = _ask(stack, "/get-online-features", json.dumps(question).encode())
        return status, json.loads(answer)

    (status, (views, found)), (_, feasts) = rows(users), by_json(users)
    assert (status, views) == (200, list(dict.fromkeys(view for view, _ in _FEATURES)))
    place = {name: number for number, name in enumerate(feasts["metadata"]["feature_names"])}
    for number, (view, feature) in enumerate(_FEATURES):
        values = [_value(row[len(views) + number]) for row in found]
        assert values == feasts["results"][place[f"{view}__{feature}"]]["values"]
    assert sum(row[0] is not None for row in found) == _USERS
    key = b"\x01\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x00user_id\x02\x00\x00\x00\x03\x00\x00\x00badstreamflow"
    with redis.RedisCluster(host="127.0.0.1", port=cluster.ports[0]) as client:
        client.set(key, "no hash")
        status, said = rows([users[0], "bad", *users[1:]])
        assert status == by_json([users[0], "bad"])[0] == 500
        assert "WRONGTYPE" in said
        client.delete(key)
    assert rows(users) == (200, [views, found])


def _ask(stack: Stack, path: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(  # http by construction
        f"http://127.0.0.1:{stack.config.feature_server_port}{path}",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # the same
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _value(encoded: bytes | None) -> Any:
    value = Value.FromString(encoded or b"")
    field = value.WhichOneof("val")
    return field and getattr(value, field)


def _user_ids(stack: Stack) -> list[str]:
    with (stack.newest.path / "users.csv").open(encoding="utf-8", newline="") as file:
        return [row["user_id"] for row in csv.DictReader(file)]


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
            "connection_string": cluster.nodes,
        },
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )


def test_reads_go_on_once_a_replica_has_taken_over(cluster: Cluster, stack: Stack) -> None:
    users = _user_ids(stack)
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
