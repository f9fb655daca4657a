"""FEATURE_SERVER=stock starts Feast's own `feast serve`, and nothing of StreamFlow's, behind the same gateway."""

import json
import urllib.request

import psutil
import pytest
import redis
from stack_under_test import BIN, CANARY, Stack
from streamflow_repo import CONTRACT_PATH

pytestmark = pytest.mark.slow


def test_the_feature_servers_are_feasts_own_command(stock_stack: Stack) -> None:
    pids = stock_stack.pids()
    for name in ("feature-server-1", "feature-server-2"):
        command = psutil.Process(pids[name]).cmdline()
        assert command[1:3] == [str(BIN / "feast"), "serve"]
        assert command[-6:] == ["1", "--max-requests", "0", "--registry_ttl_sec", "60", "--no-access-log"]
        assert "PYTHONOPTIMIZE" not in psutil.Process(pids[name]).environ()


def test_redis_is_asked_once_for_each_user_and_view(stock_stack: Stack) -> None:
    features = [
        f"{view['name']}:{view['features'][0]['name']}"
        for view in json.loads(CONTRACT_PATH.read_text(encoding="utf-8"))["feature_views"]
    ]
    request = urllib.request.Request(  # http by construction
        f"http://127.0.0.1:{stock_stack.config.feature_server_port}/get-online-features",
        data=json.dumps({"features": features, "entities": {"user_id": [CANARY, "0000-NOONE"]}}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with redis.Redis.from_url(stock_stack.config.redis_url) as client, client.monitor() as monitor:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310  # the same
            assert reply.status == 200
        client.echo("the end")
        # The gateways read the canary meanwhile; nobody else asks for this user.
        asked = 0
        for seen in monitor.listen():
            asked += seen["command"].startswith("HMGET") and "0000-NOONE" in seen["command"]
            if "the end" in seen["command"]:
                break
    assert asked == len(features)


def test_status_and_answers_are_those_of_any_stack(stock_stack: Stack) -> None:
    assert stock_stack.local("status").returncode == 0
    assert stock_stack.ask(CANARY).user_known


def test_another_feature_server_on_a_running_stack_is_refused(stock_stack: Stack) -> None:
    result = stock_stack.local("up", FEATURE_SERVER="streamflow")
    assert result.returncode == 1
    assert "a stack is running with another feature_server; stop the stack with `make down`" in result.stderr


def test_a_feature_server_that_does_not_exist_is_named(stock_stack: Stack) -> None:
    result = stock_stack.local("up", FEATURE_SERVER="fast")
    assert result.returncode == 1
    assert "error: FEATURE_SERVER is 'fast'; set it to streamflow or stock" in result.stderr
