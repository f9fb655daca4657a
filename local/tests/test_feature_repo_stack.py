"""`make up FEATURE_REPO=DIR`: the repository of all kinds on a stack of its own."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from any_repo import make_repo, sqlite_store
from stack_under_test import BIN, Stack, stack_environment
from streamflow_features import FeatureClient, Unauthenticated

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    """A stack that serves a repository, and what its first `up` printed."""

    stack: Stack
    folder: Path
    printed: str

    def up(self) -> str:
        result = self.stack.local("up", "--feature-repo", str(self.folder))
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def served(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = make_repo(tmp_path_factory.mktemp("any") / "repo", online_store=sqlite_store())
    environment = {**stack_environment(state_dir / "repository"), "FEATURE_SERVER_REPLICAS": "1"}
    stack = Stack(environment, folder)
    try:
        yield Served(stack, folder, Served(stack, folder, "").up())
    finally:
        stack.local("down")


def test_up_ends_with_an_answered_call_and_where_things_listen(served: Served) -> None:
    _, _, answered = served.printed.partition("GetOnlineFeatures(")
    assert ") answered:\n" in answered
    assert "  PRESENT  " in answered
    assert f"{served.stack.gateway}  feast.serving.ServingService" in answered
    assert str(served.stack.layout.repository_contract) in answered


def test_up_says_what_the_gateway_can_not_serve(served: Served) -> None:
    assert "left out: feature depot_fv:attributes: it is Map" in served.printed
    contract = json.loads(served.stack.layout.repository_contract.read_text(encoding="utf-8"))
    assert {"driver_fv", "delivery_fv", "lists_fv"} <= {view["name"] for view in contract["feature_views"]}
    assert "bonus_fv" in {left_out["name"] for left_out in contract["left_out"]}


def test_all_processes_are_healthy_and_a_second_up_does_nothing(served: Served) -> None:
    status = json.loads(served.stack.local("status", "--json").stdout)
    assert status["healthy"], status
    assert {process["name"] for process in status["processes"]} == {"postgres", "valkey", "feature-server-1", "gateway"}
    assert "already up; nothing to do" in served.up()


def test_the_repositorys_own_registry_and_online_store_are_left_alone(served: Served) -> None:
    assert not (served.folder / "data" / "registry.db").exists()
    assert not (served.folder / "data" / "online.db").exists()


def test_users_of_the_repository_are_served_by_get_user_features_too(served: Served) -> None:
    answer = served.stack.http("/features/fresh?feature_service=users_v1")
    assert answer["features"]["score"] == 1.5
    assert answer["statuses"]["a_string"] == "NOT_FOUND"


def test_streamflow_on_the_running_stack_is_refused(served: Served) -> None:
    result = served.stack.local("up")
    assert result.returncode == 1
    assert "a stack is running with another feature_repo; stop the stack with `make down`" in result.stderr


def test_a_secure_stack_serves_a_repository_to_callers_with_the_token_alone(state_dir: Path, tmp_path: Path) -> None:
    environment = {**stack_environment(state_dir / "secure-repository"), "FEATURE_SERVER_REPLICAS": "1"}
    folder = make_repo(tmp_path / "repo", online_store=sqlite_store())
    stack = Stack(environment, folder)
    try:
        result = stack.local("up", "--secure", "--feature-repo", str(folder))
        assert result.returncode == 0, result.stdout + result.stderr
        assert ") answered:\n" in result.stdout
        assert stack.status().healthy
        assert "already up; nothing to do" in stack.local("up", "--secure", "--feature-repo", str(folder)).stdout
        call = ("get", "fresh", "--service", "users_v1", "--target", stack.gateway)
        for words, text in (
            (("streamflow-features", *call), "score"),
            (("feast", "feature-views", "list"), "driver_fv"),
        ):
            command = stack.in_shell(str(BIN / words[0]), *words[1:])
            assert text in subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
        ca_file = stack.layout.ca_file
        with FeatureClient(stack.gateway, timeout_s=10, ca_file=ca_file) as client, pytest.raises(Unauthenticated):
            client.get_user_features("fresh", feature_service="users_v1")
    finally:
        stack.local("down")


def test_definitions_that_feast_refuses_are_named_with_the_log(served: Served, state_dir: Path) -> None:
    broken = make_repo(state_dir / "broken", online_store=sqlite_store())
    (broken / "any_echo.py").write_text("raise RuntimeError('not today')\n", encoding="utf-8")
    stack = Stack({**served.stack.environment, **stack_environment(state_dir / "broken-stack")}, broken)
    try:
        result = stack.local("up", "--feature-repo", str(broken))
        assert result.returncode == 1
        assert f"error: `feast apply` failed in {broken}:\nRuntimeError: not today\nlog: " in result.stderr
    finally:
        stack.local("down")
