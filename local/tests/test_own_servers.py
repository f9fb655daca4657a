"""With POSTGRES_URL and REDIS_URL, the stack uses these servers instead of the embedded ones."""

import json
from pathlib import Path

import pytest
import redis
from stack_fixtures import PASSWORD
from stack_under_test import CANARY, Stack, stack_environment
from streamflow_local import postgres
from told import told

pytestmark = pytest.mark.slow


def test_only_feature_server_and_gateway_are_started(own_servers_stack: Stack) -> None:
    found = json.loads(own_servers_stack.local("status", "--json").stdout)
    assert [process["name"] for process in found["processes"]] == ["feature-server-1", "gateway"]
    assert found["healthy"]
    assert not own_servers_stack.layout.postgres_data.exists()
    assert not own_servers_stack.layout.valkey_data.exists()


def test_features_are_read_from_the_teams_servers(own_servers_stack: Stack) -> None:
    assert own_servers_stack.ask(CANARY).user_known


def test_a_second_up_leaves_the_data_alone(own_servers_stack: Stack) -> None:
    before = dict(own_servers_stack.ask(CANARY))
    result = own_servers_stack.local("up")
    assert "already up; nothing to do" in result.stdout
    assert dict(own_servers_stack.ask(CANARY)) == before


def test_a_redis_that_another_database_filled_is_refused_and_keeps_its_users(
    own_servers_stack: Stack, postgres_socket_dir: Path, state_dir: Path
) -> None:
    postgres.create_database(postgres_socket_dir, "second")
    second = Stack(
        {
            **stack_environment(state_dir / "second-database"),
            "POSTGRES_URL": postgres.url(postgres_socket_dir, "second"),
            "REDIS_URL": own_servers_stack.environment["REDIS_URL"],
            "FEATURE_SERVER_REPLICAS": "1",
        },
        own_servers_stack.months,
    )
    before = _dump(own_servers_stack)
    try:
        result = second.local("up")
    finally:
        second.local("down")
    assert result.returncode == 1
    assert "materializing the newest features: failed" in result.stderr
    assert "the Redis of REDIS_URL has the users of another database, own at " in result.stderr
    assert "Nothing was written or deleted. Use a Redis for each database" in result.stderr
    assert _dump(own_servers_stack) == before


def test_nothing_that_a_stack_shows_tells_a_password(own_servers_stack: Stack) -> None:
    own_servers_stack.ask(CANARY)
    logs = own_servers_stack.layout.logs
    assert all((logs / name).stat().st_size for name in ("up.log", "gateway.log", "feature-server-1.log"))
    assert told(own_servers_stack, PASSWORD.replace("/", "@").split("@")) == []


def _dump(stack: Stack) -> dict[bytes, bytes]:
    with redis.Redis.from_url(stack.config.redis_url) as client:
        return {key: client.dump(key) for key in client.scan_iter()}
