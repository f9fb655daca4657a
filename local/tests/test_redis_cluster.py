"""A Redis Cluster serves the same values as one Redis; if a primary fails, reads fail until its replica takes over."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_cluster import Cluster, running_cluster
from stack_under_test import Stack, stack_environment
from streamflow_features import FeatureClient, FeatureServingError, UserFeatures
from streamflow_local import postgres
from streamflow_local.waiting import wait_until
from streamflow_offline.generate import generate_months

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
