"""The Prefect flow on a temporary Prefect server and a real stack."""
# ruff: noqa: PLC0415  # Prefect reads its settings when it is imported, so the tests import it once these are set

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from stack_under_test import Stack
from streamflow_local import ports, valkey
from streamflow_local.testing import running
from streamflow_local.waiting import wait_until
from streamflow_offline.training_set import TrainingSetRequest
from streamflow_offline.user_keys import UserKeys

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun

pytestmark = pytest.mark.slow

_SERVER_TIMEOUT_S = 120
_RECORDED_TIMEOUT_S = 30
_RUN_TIMEOUT_S = 240
_JOBS = ["ingest-months", "apply-definitions", "materialize-features", "build-training-set", "audit-skew"]


@dataclass(frozen=True)
class PrefectServer:
    """The REST API of a temporary server."""

    url: str
    home: Path

    def last_run(self) -> Any:
        return self.read("flow_runs", {"sort": "START_TIME_DESC", "limit": 1})[0]

    def finished_tasks(self, run: Any, *, count: int) -> list[Any]:
        """Return the tasks of a run by start time; the server learns of them with a delay."""
        asked = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        found: list[Any] = []

        def all_ended() -> None:
            found[:] = self.read("task_runs", asked)
            assert [task["state_type"] in {"COMPLETED", "FAILED"} for task in found] == [True] * count

        wait_until(all_ended, failing=AssertionError, timeout_s=_RECORDED_TIMEOUT_S, complaint=lambda: repr(found))
        return sorted(found, key=lambda task: str(task["start_time"]))

    def artifact(self, run: Any, key: str) -> str:
        asked = {"artifacts": {"key": {"any_": [key]}, "flow_run_id": {"any_": [run["id"]]}}}
        [artifact] = self.read("artifacts", asked)
        assert artifact["type"] == "markdown"
        return str(artifact["data"])

    def log(self, run: Any) -> str:
        asked = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.read("logs", asked))

    def read(self, what: str, asked: dict[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310  # http by construction
            f"{self.url}/{what}/filter", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # the same
            return json.load(response)


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as environment:
        # Prefect reads these when it is imported.
        environment.setenv("PREFECT_HOME", str(home))
        environment.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        environment.setenv("DO_NOT_TRACK", "1")
        from prefect.settings import PREFECT_API_URL
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=_SERVER_TIMEOUT_S):
            yield PrefectServer(url=str(PREFECT_API_URL.value()), home=home)


@pytest.fixture
def connections(own_servers_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The stack whose stores the flow in this process uses."""
    monkeypatch.setenv("POSTGRES_URL", own_servers_stack.postgres_url)
    monkeypatch.setenv("REDIS_URL", own_servers_stack.config.redis_url)
    return own_servers_stack


def test_one_run_brings_months_to_serving_and_into_an_audited_training_set(
    prefect_server: PrefectServer, connections: Stack, tmp_path: Path
) -> None:
    months, out = connections.layout.generated_months, tmp_path / "training_set"
    command = [str(Path(sys.executable).with_name("offline")), "flow", "--out", str(out), "--data", str(months)]
    command += ["--contract", str(tmp_path / "contract.json"), "--gateway", connections.gateway, "--audit-users", "200"]
    result = subprocess.run(
        command,
        env={**os.environ, "PREFECT_API_URL": prefect_server.url},
        check=False,
        capture_output=True,
        text=True,
        timeout=_RUN_TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr
    manifest = json.loads((out / "_manifest.json").read_text(encoding="utf-8"))
    assert result.stdout.split() == [str(out), manifest["content_hash"]]
    assert json.loads((tmp_path / "contract.json").read_text(encoding="utf-8"))["hash"] == manifest["contract_hash"]

    run = prefect_server.last_run()
    assert run["state_type"] == "COMPLETED"
    tasks = prefect_server.finished_tasks(run, count=5)
    assert [(task["name"].rsplit("-", 1)[0], task["state_type"], task["run_count"]) for task in tasks] == [
        (job, "COMPLETED", 1) for job in _JOBS
    ]

    artifact = prefect_server.artifact(run, "training-set-manifest")
    assert manifest["content_hash"] in artifact
    assert f"| rows | {manifest['rows']:,} |" in artifact
    assert (out / "_manifest.json").as_uri() in artifact
    assert "passed" in prefect_server.artifact(run, "skew-audit")
    log = prefect_server.log(run)
    assert f"{manifest['rows']:,} of {manifest['rows']:,} rows" in log
    assert "month_001 is loaded" in log
    # The Prefect server gets neither passwords nor rows.
    assert not {"postgres_url", "redis_url"} & set(run["parameters"])
    assert not (prefect_server.home / "storage").exists()


def test_an_audit_that_finds_skew_fails_the_flow_and_says_why(
    prefect_server: PrefectServer,
    connections: Stack,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from streamflow_offline.flow.pipeline import training_data

    # The flow writes to another Redis than the gateway's Redis, in which a user is missing.
    monkeypatch.setenv("REDIS_URL", f"{redis_url}/4")
    ids = (connections.layout.generated_months / "month_001" / "users.csv").read_text(encoding="utf-8").splitlines()
    key = UserKeys(project="streamflow", join_key="user_id").key(ids[-1].split(",")[0])
    with redis.Redis.from_url(connections.config.redis_url) as client:
        assert client.delete(key)
    try:
        state = training_data(
            tmp_path / "training_set",
            contract=tmp_path / "contract.json",
            gateway=connections.gateway,
            audit_users=None,
            return_state=True,
        )
    finally:
        connections.offline("materialize")
    assert state.is_failed()
    assert "subs_profile_fv:monthly_fee differs for 0.01% of 7," in str(state.message)
    run = prefect_server.last_run()
    tasks = prefect_server.finished_tasks(run, count=4)
    assert [(task["state_type"], task["run_count"]) for task in tasks] == [("COMPLETED", 1)] * 3 + [("FAILED", 1)]
    assert "failed" in prefect_server.artifact(run, "skew-audit")


@pytest.mark.usefixtures("connections")
def test_a_task_is_repeated_when_a_store_that_was_away_is_back(
    prefect_server: PrefectServer, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from streamflow_offline.flow.retries import store_was_away
    from streamflow_offline.flow.tasks import materialize_features

    port = ports.free_port()
    monkeypatch.setenv("REDIS_URL", valkey.url(port))
    with ExitStack() as servers:

        def back_when_missed(task: "Task[..., Any]", run: "TaskRun", state: "State[Any]") -> bool:
            servers.enter_context(
                running(valkey.prepare(state_dir / "late-valkey", port=port), log=state_dir / "late-valkey.log")
            )
            valkey.wait_until_ready(valkey.url(port), timeout_s=30)
            return store_was_away(task, run, state)

        patient = materialize_features.with_options(retry_delay_seconds=0, retry_condition_fn=back_when_missed)

        @flow
        def materializing() -> None:
            patient(incremental=False)

        state = materializing(return_state=True)
    assert state.is_completed()
    [task] = prefect_server.finished_tasks(prefect_server.last_run(), count=1)
    assert task["run_count"] == 2


@pytest.mark.usefixtures("connections")
def test_a_refusal_is_not_repeated(prefect_server: PrefectServer, tmp_path: Path) -> None:
    from prefect import flow
    from streamflow_offline.flow.tasks import build_training_set

    @flow
    def building() -> None:
        build_training_set(TrainingSetRequest(service="no_such_service", out=tmp_path / "training_set"))

    state = building(return_state=True)
    assert "there is no feature service 'no_such_service'" in str(state.message)
    [task] = prefect_server.finished_tasks(prefect_server.last_run(), count=1)
    assert (task["state_type"], task["run_count"]) == ("FAILED", 1)


@pytest.mark.usefixtures("connections")
def test_a_refused_password_is_not_sent_again(
    prefect_server: PrefectServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from streamflow_offline.flow.tasks import materialize_features

    monkeypatch.setenv("REDIS_URL", redis_url.replace("redis://", "redis://nobody:wrong@"))

    @flow
    def materializing() -> None:
        materialize_features(incremental=False)

    state = materializing(return_state=True)
    assert "invalid username-password pair" in str(state.message)
    [task] = prefect_server.finished_tasks(prefect_server.last_run(), count=1)
    assert (task["state_type"], task["run_count"]) == ("FAILED", 1)


@pytest.mark.usefixtures("connections")
def test_what_cant_be_asked_for_is_refused_before_anything_is_done(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    from streamflow_offline.flow.pipeline import training_data

    state = training_data(tmp_path, return_state=True)
    assert state.is_failed()
    assert "is there already" in str(state.message)
    assert prefect_server.finished_tasks(prefect_server.last_run(), count=0) == []
