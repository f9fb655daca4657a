"""With POSTGRES_URL and REDIS_URL, the stack uses these servers instead of the embedded ones."""

import json

from stack_under_test import CANARY, Stack


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
