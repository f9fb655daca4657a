"""The whole stack as `make up` starts it; answers are compared with the values in the CSV files."""

import csv
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import psutil
import psycopg
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from stack_under_test import CANARY, Stack, stack_environment
from streamflow_features import FeatureClient, FeatureStatus, Value
from streamflow_local import ports
from streamflow_offline.errors import JobError
from streamflow_offline.ingest.job import ingest
from streamflow_offline.materialize.job import materialize
from streamflow_offline.materialize.report import ViewReport
from streamflow_offline.months import MonthFolder, find_months

_SERVICE = "streamflow.features.v1.UserFeatureService"
_BOOLS = {"True": True, "False": False}


def _csv_values(month: MonthFolder) -> dict[str, dict[str, str]]:
    """Return all features in the files of a month, by user and feature."""
    users: dict[str, dict[str, str]] = {}
    for name in ("subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d"):
        with (month.path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                users.setdefault(row.pop("user_id"), {}).update(row)
    return users


def _as_served(text: str, value: Value) -> Value:
    """Return a CSV field as a feature, with the type of the served value, which the contract defines."""
    if not text:
        return None
    if isinstance(value, bool):
        return _BOOLS[text]
    if isinstance(value, int):
        return int(text)
    return float(text) if isinstance(value, float) else text


def test_every_users_values_equal_the_newest_csv_to_the_last_digit(stack: Stack) -> None:
    users = _csv_values(stack.newest)
    event = datetime.combine(stack.newest.as_of, datetime.min.time(), UTC)
    with FeatureClient(stack.gateway, timeout_s=30) as client, ThreadPoolExecutor(8) as pool:
        answers = pool.map(client.get_user_features, users)
        nulls = 0
        for (user_id, texts), features in zip(users.items(), answers, strict=True):
            assert features.user_id == user_id
            assert len(features) == 14
            assert dict(features) == {name: _as_served(texts[name], features[name]) for name in features}
            assert set(features.event_timestamps.values()) == {event}
            for name, value in features.items():
                expected = FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT
                assert features.statuses[name] is expected
                nulls += value is None
    assert len(users) == 7043
    assert nulls == 2 * sum(texts["net_service"] == "No" for texts in users.values())


def test_types_are_the_contracts(stack: Stack) -> None:
    features = stack.ask(CANARY)
    assert [type(value) for value in features.values()] == [
        *(int, float, bool, bool, bool, str),
        *(float, float, int, int, int),
        *(int, int, float),
    ]


def test_a_user_without_internet_has_null_streaming_flags(stack: Stack) -> None:
    user_id = next(user for user, texts in _csv_values(stack.newest).items() if texts["net_service"] == "No")
    features = stack.ask(user_id)
    for name in ("plan_stream_tv", "plan_stream_movies"):
        assert features[name] is None
        assert features.statuses[name] is FeatureStatus.NULL_VALUE
        assert features.event_timestamps[name] is not None
    assert features.user_known


def test_a_user_that_does_not_exist_is_not_found_throughout(stack: Stack) -> None:
    features = stack.ask("0000-AAAAA")
    assert not features.user_known
    assert set(features.values()) == {None}
    assert set(features.statuses.values()) == {FeatureStatus.NOT_FOUND}
    assert set(features.event_timestamps.values()) == {None}


@pytest.fixture(params=["everyone's user", "without internet", "nobody"])
def user_id(request: pytest.FixtureRequest, stack: Stack) -> str:
    """A user with all features, a user whose streaming flags are null, and an id that does not exist."""
    if request.param == "without internet":
        return next(user for user, texts in _csv_values(stack.newest).items() if texts["net_service"] == "No")
    return CANARY if request.param == "everyone's user" else "0000-AAAAA"


def test_a_client_that_knows_only_reflection_reads_all_features(stack: Stack, user_id: str) -> None:
    with grpc.insecure_channel(stack.gateway) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(_SERVICE).FindMethodByName("GetUserFeatures")
        call: Any = channel.unary_unary(f"/{_SERVICE}/GetUserFeatures")
        request = GetMessageClass(method.input_type)(user_id=user_id)
        answer: Any = GetMessageClass(method.output_type).FromString(call(request.SerializeToString(), timeout=10))
    expected = stack.ask(user_id)
    served = {
        feature.name: getattr(feature, field) if (field := feature.WhichOneof("value")) else None
        for feature in answer.user_features.features
    }
    assert served == dict(expected)
    assert [feature.status for feature in answer.user_features.features] == list(expected.statuses.values())
    assert answer.contract_hash == expected.contract_hash


def test_http_answers_what_grpc_answers(stack: Stack, user_id: str) -> None:
    assert stack.http("/health") == {"status": "ok"}
    body, features = stack.http(f"/features/{user_id}"), stack.ask(user_id)
    assert body["features"] == dict(features)
    assert body["statuses"] == {name: status.name for name, status in features.statuses.items()}
    assert body["user_known"] is features.user_known
    assert body["contract_hash"] == features.contract_hash


def test_a_second_up_does_nothing_and_says_so(stack: Stack) -> None:
    before = stack.pids()
    result = stack.local("up")
    assert result.returncode == 0
    assert "already up; nothing to do" in result.stdout
    assert f"GetUserFeatures({CANARY}) answered:" in result.stdout
    assert stack.pids() == before


def test_status_shows_each_process_with_pid_port_and_health(stack: Stack) -> None:
    found = json.loads(stack.local("status", "--json").stdout)
    assert found["running"]
    assert found["healthy"]
    assert [process["name"] for process in found["processes"]] == [
        *("postgres", "valkey"),
        *("feature-server-1", "feature-server-2"),
        "gateway",
    ]
    assert [process["port"] for process in found["processes"]] == [
        None,
        stack.config.redis_port,
        stack.config.feature_server_port,
        stack.config.feature_server_port + 1,
        stack.config.gateway_grpc_port,
    ]
    for process in found["processes"]:
        os.kill(process["pid"], 0)
        assert Path(process["log"]).is_file()


def test_a_killed_feature_server_is_replaced_and_leaves_nothing_behind(stack: Stack) -> None:
    master = stack.pids()["feature-server-1"]
    assert master
    workers = psutil.Process(master).children()
    assert workers
    os.kill(master, signal.SIGKILL)
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert (len(gone), alive) == (len(workers), [])
    # The other replica answers meanwhile.
    assert stack.ask(CANARY).user_known
    stack.wait_until_healthy()
    assert stack.pids()["feature-server-1"] != master


def test_another_port_on_a_running_stack_is_refused(stack: Stack) -> None:
    result = stack.local("up", GATEWAY_GRPC_PORT=str(ports.free_port()))
    assert result.returncode == 1
    assert "running with another gateway_grpc_port" in result.stderr


def test_two_ups_at_once_are_refused(stack: Stack) -> None:
    with stack.layout.up_lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = stack.local("up")
    assert result.returncode == 1
    assert "another `make up` is at work" in result.stderr


def test_a_port_in_use_is_named(stack: Stack, state_dir: Path) -> None:
    environment = {**stack.environment, "STREAMFLOW_STATE": str(state_dir / "second")}
    result = Stack(environment, stack.months).local("up")
    assert result.returncode == 1
    assert f"port {stack.config.gateway_grpc_port} is in use" in result.stderr
    assert "set GATEWAY_GRPC_PORT to another port" in result.stderr


@pytest.fixture
def correction(stack: Stack, tmp_path: Path) -> Iterator[Callable[[str, Callable[[list[str]], list[str]]], None]]:
    """Loads the newest month with one edited file; the original is loaded again after the test."""

    def load(table: str, edit: Callable[[list[str]], list[str]]) -> None:
        month = shutil.copytree(stack.newest.path, tmp_path / stack.newest.path.name)
        file = month / f"{table}.csv"
        file.chmod(0o644)
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(edit(lines)), encoding="utf-8")
        _load(stack, month)

    yield load
    _load(stack, stack.newest.path)


def _load(stack: Stack, months: Path) -> list[ViewReport]:
    ingest(months, postgres_url=stack.postgres_url)
    return _materialize(stack)


def _materialize(stack: Stack, *, end: datetime | None = None) -> list[ViewReport]:
    return materialize(
        postgres_url=stack.postgres_url, redis_url=stack.config.redis_url, end=end, on_progress=lambda _: None
    )


def test_a_correction_of_a_materialized_month_reaches_the_reply(
    stack: Stack, correction: Callable[[str, Callable[[list[str]], list[str]]], None]
) -> None:
    before = stack.ask(CANARY)["failed_payments_90d"]
    correction(
        "payments_agg_90d",
        lambda lines: [f"{CANARY},97\n" if line.startswith(CANARY) else line for line in lines],
    )
    after = stack.ask(CANARY)
    assert before != 97
    assert after["failed_payments_90d"] == 97
    assert after.event_timestamps["failed_payments_90d"] == datetime.combine(
        stack.newest.as_of, datetime.min.time(), UTC
    )


def test_a_user_that_a_correction_removes_falls_back_to_the_month_before(
    stack: Stack, correction: Callable[[str, Callable[[list[str]], list[str]]], None]
) -> None:
    correction("support_agg_90d", lambda lines: [line for line in lines if not line.startswith(CANARY)])
    after = stack.ask(CANARY)
    month_before = datetime.combine(find_months(stack.months)[-2].as_of, datetime.min.time(), UTC)
    assert after.event_timestamps["support_tickets_90d"] == month_before
    assert after.statuses["support_tickets_90d"] is FeatureStatus.PRESENT


def test_a_user_that_postgres_no_longer_has_is_not_served(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute("DELETE FROM support_agg_90d_snapshots WHERE user_id = %s", (CANARY,))
    reports = _materialize(stack)
    try:
        features = stack.ask(CANARY)
        assert features.statuses["support_tickets_90d"] is FeatureStatus.NOT_FOUND
        assert features.statuses["skips_7d"] is FeatureStatus.PRESENT
        assert features.user_known
        assert {report.view: report.departed for report in reports} == {
            "payments_agg_90d_fv": 0,
            "subs_profile_fv": 0,
            "support_agg_90d_fv": 1,
            "usage_agg_30d_fv": 0,
        }
    finally:
        _load(stack, stack.months)
    assert stack.ask(CANARY).statuses["support_tickets_90d"] is FeatureStatus.PRESENT


@pytest.mark.slow
def test_the_offline_command_reports_what_it_did(stack: Stack) -> None:
    loaded = stack.offline("ingest", str(stack.newest.path)).stdout
    assert f"{stack.newest.as_of}  labels_snapshots" in loaded
    applied = stack.offline("apply").stdout
    assert stack.ask(CANARY).contract_hash in applied
    materialized = stack.offline("materialize").stdout
    assert "subs_profile_fv      7,043" in materialized


def test_a_window_that_would_leave_the_newest_month_out_is_refused(stack: Stack) -> None:
    with pytest.raises(JobError, match=r"rows after 2024-02-01T00:00:00\+00:00, which would be left out of Redis"):
        _materialize(stack, end=datetime(2024, 2, 1, tzinfo=UTC))
    assert stack.ask(CANARY).event_timestamps["skips_7d"] == datetime.combine(
        stack.newest.as_of, datetime.min.time(), UTC
    )


def test_rows_dated_after_now_are_left_out_and_counted(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        future = date(datetime.now(UTC).year + 1, 1, 31)
        connection.execute(
            "INSERT INTO payments_agg_90d_snapshots (user_id, as_of, ingested_at, failed_payments_90d)"
            " VALUES (%s, %s, now(), 55)",
            (CANARY, future),
        )
    try:
        reports = _materialize(stack)
        assert next(report for report in reports if report.view == "payments_agg_90d_fv").later_rows == 1
        assert stack.ask(CANARY)["failed_payments_90d"] != 55
    finally:
        with psycopg.connect(stack.postgres_url) as connection:
            connection.execute("DELETE FROM payments_agg_90d_snapshots WHERE as_of = %s", (future,))


def test_data_survive_down_and_the_next_up(stack: Stack) -> None:
    before = stack.ask(CANARY)
    down = stack.local("down")
    assert down.returncode == 0
    assert "stopped" in down.stdout
    assert not stack.status().running
    assert all(not ports.in_use(port) for port in stack.config.ports().values())
    result = stack.local("up")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "loading" not in result.stdout
    assert dict(stack.ask(CANARY)) == dict(before)


@pytest.mark.parametrize(
    ("variable", "value", "messages"),
    [
        ("POSTGRES_URL", "postgresql://user@127.0.0.1:1/db", ("POSTGRES_URL: failed", "127.0.0.1", "log: ")),
        ("POSTGRES_URL", "mysql://db", ("POSTGRES_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE")),
        ("REDIS_URL", "localhost:6379", ("REDIS_URL is not a Redis URL", "redis://")),
        ("GATEWAY_HTTP_PORT", "http", ("GATEWAY_HTTP_PORT is 'http'", "a port from 1")),
    ],
)
def test_a_start_that_cannot_be_says_which_step_and_why(
    state_dir: Path, variable: str, value: str, messages: tuple[str, ...], months: Path
) -> None:
    broken = Stack({**stack_environment(state_dir / "broken"), variable: value}, months)
    result = broken.local("up")
    broken.local("down")
    assert result.returncode == 1
    for message in messages:
        assert message in result.stderr
    assert "Traceback" not in result.stderr
