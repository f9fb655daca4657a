"""Each process of a running stack has the connections that it needs, and no others."""

import psutil
import pytest
import redis
from stack_under_test import CANARY, Stack
from streamflow_local.accounts import connections, redis_passwords, role_of_feature_servers
from streamflow_local.config import StackConfig
from streamflow_offline.grant.job import Role
from told import told


def test_feature_servers_have_the_accounts_that_read_and_the_gateway_has_none(stack: Stack) -> None:
    passwords, pids = redis_passwords(stack.layout), stack.pids()
    for name in stack.config.feature_servers():
        variables = psutil.Process(pids[name]).environ()
        assert passwords["reader"] in variables["FEAST_REDIS_CONNECTION"]
        assert "://streamflow_reader@" in variables["FEAST_REGISTRY_URL"]
        assert passwords["writer"] not in str(variables)
    gateway = psutil.Process(pids["gateway"]).environ()
    assert [value for value in gateway.values() for password in passwords.values() if password in value] == []
    assert not {name for name in gateway if name.startswith("FEAST_") or name.endswith(("POSTGRES_URL", "REDIS_URL"))}


def test_files_with_passwords_are_their_owners(stack: Stack) -> None:
    layout = stack.layout
    files = (
        layout.supervisor_config,
        layout.feature_server_variables,
        layout.environment_file,
        layout.valkey_users,
        *layout.secrets.iterdir(),
    )
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files} == {path.name: "0o600" for path in files}


def test_nothing_that_a_stack_shows_tells_a_password(stack: Stack) -> None:
    stack.ask(CANARY)
    assert told(stack, redis_passwords(stack.layout).values()) == []


def test_the_stacks_valkey_knows_its_users(stack: Stack) -> None:
    reader = connections(stack.config, stack.layout, Role.READER).redis_url
    with redis.Redis.from_url(reader) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.set("a", "b")


def test_servers_with_routes_that_write_have_an_account_that_writes(stack: Stack) -> None:
    config = StackConfig.of_environment({**stack.environment, "FEATURE_SERVER_ROUTES": "all"})
    assert role_of_feature_servers(config) is Role.JOBS
    assert role_of_feature_servers(stack.config) is Role.READER
