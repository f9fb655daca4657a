"""The whole stack as `make up` starts it, on real months, with values followed from CSV file to reply."""

import csv
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from streamflow_features import FeatureClient, FeatureStatus, UserFeatures, Value
from streamflow_local import ports
from streamflow_local.config import StackConfig
from streamflow_local.layout import Layout
from streamflow_offline.generate import generate_months
from streamflow_offline.months import MonthFolder, find_months

_BIN = Path(sys.executable).parent
_CHECKOUT = Path(__file__).resolve().parents[2]
_UP_TIMEOUT_S = 240
_SERVICE = "streamflow.features.v1.UserFeatureService"
_CANARY = "3413-BMNZE"
_BOOLS = {"True": True, "False": False}


@dataclass(frozen=True)
class Stack:
    """A stack of the tests' own: its state, its ports, its months."""

    environment: dict[str, str]
    months: Path

    def local(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_BIN / "local"), *arguments],
            env={**self.environment, **environment},
            check=False,
            capture_output=True,
            text=True,
            timeout=_UP_TIMEOUT_S,
        )

    def offline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        urls = {"POSTGRES_URL": self.postgres_url, "REDIS_URL": self.config.redis_url}
        return subprocess.run(
            [str(_BIN / "offline"), *arguments],
            env={**self.environment, **urls},
            check=True,
            capture_output=True,
            text=True,
            timeout=_UP_TIMEOUT_S,
        )

    @property
    def config(self) -> StackConfig:
        return StackConfig.of_environment(self.environment)

    @property
    def layout(self) -> Layout:
        return Layout.of_environment(self.environment)

    @property
    def postgres_url(self) -> str:
        return self.config.postgres_url(self.layout)

    @property
    def gateway(self) -> str:
        return f"127.0.0.1:{self.config.gateway_grpc_port}"

    @property
    def newest(self) -> MonthFolder:
        return find_months(self.months)[-1]

    def ask(self, user_id: str) -> UserFeatures:
        with FeatureClient(self.gateway, timeout_s=10) as client:
            return client.get_user_features(user_id)

    def http(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.config.gateway_http_port}{path}"
        with urllib.request.urlopen(url, timeout=10) as response:  # http by construction
            return json.load(response)


def _environment(state: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "FEAST_"))}
    variables = ("GATEWAY_GRPC_PORT", "GATEWAY_HTTP_PORT", "FEATURE_SERVER_PORT", "REDIS_PORT")
    inherited.pop("POSTGRES_URL", None)
    inherited.pop("REDIS_URL", None)
    return {**inherited, "STREAMFLOW_STATE": str(state), **{name: str(ports.free_port()) for name in variables}}


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real customers where there are any (STREAMFLOW_DATA, or shared/streamflow beside the checkout), else generated."""
    real = Path(os.environ.get("STREAMFLOW_DATA") or _CHECKOUT.parent / "shared" / "streamflow")
    if real.is_dir():
        return real
    generated = tmp_path_factory.mktemp("generated") / "months"
    generate_months(generated)
    return generated


@pytest.fixture(scope="module")
def stack(state_dir: Path, months: Path) -> Iterator[Stack]:
    running = Stack(_environment(state_dir / "stack"), months)
    result = running.local("up", "--data", str(months))
    try:
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"GetUserFeatures({_CANARY}) answered:" in result.stdout
        assert sum("PRESENT" in line for line in result.stdout.splitlines()) == 14
        yield running
    finally:
        running.local("down")


def _csv_values(month: MonthFolder) -> dict[str, dict[str, str]]:
    """All of a month's features as the files have them, by user and feature."""
    users: dict[str, dict[str, str]] = {}
    for name in ("subscriptions", "usage_agg_30d", "payments_agg_90d", "support_agg_90d"):
        with (month.path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                users.setdefault(row.pop("user_id"), {}).update(row)
    return users


def _as_served(text: str, value: Value) -> Value:
    """What a CSV field is as a feature; its type is the served value's, whose dtype the contract fixes."""
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
    features = stack.ask(_CANARY)
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


def test_a_client_that_knows_only_reflection_reads_all_features(stack: Stack) -> None:
    with grpc.insecure_channel(stack.gateway) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(_SERVICE).FindMethodByName("GetUserFeatures")
        call: Any = channel.unary_unary(f"/{_SERVICE}/GetUserFeatures")
        request = GetMessageClass(method.input_type)(user_id=_CANARY)
        answer: Any = GetMessageClass(method.output_type).FromString(call(request.SerializeToString(), timeout=10))
    expected = stack.ask(_CANARY)
    served = {feature.name: getattr(feature, feature.WhichOneof("value")) for feature in answer.user_features.features}
    assert served == dict(expected)
    assert answer.contract_hash == expected.contract_hash


def test_http_answers_what_grpc_answers(stack: Stack) -> None:
    assert stack.http("/health") == {"status": "ok"}
    for user_id in (_CANARY, "0000-AAAAA"):
        body, features = stack.http(f"/features/{user_id}"), stack.ask(user_id)
        assert body["features"] == dict(features)
        assert body["statuses"] == {name: status.name for name, status in features.statuses.items()}
        assert body["contract_hash"] == features.contract_hash


def test_a_second_up_does_nothing_and_says_so(stack: Stack) -> None:
    before = _pids(stack)
    result = stack.local("up")
    assert result.returncode == 0
    assert "already up; nothing to do" in result.stdout
    assert f"GetUserFeatures({_CANARY}) answered:" in result.stdout
    assert _pids(stack) == before


def test_status_shows_each_process_with_pid_port_and_health(stack: Stack) -> None:
    found = json.loads(stack.local("status", "--json").stdout)
    assert found["running"]
    assert found["healthy"]
    assert [process["name"] for process in found["processes"]] == ["postgres", "valkey", "feature-server-1", "gateway"]
    assert [process["port"] for process in found["processes"]] == [
        None,
        stack.config.redis_port,
        stack.config.feature_server_port,
        stack.config.gateway_grpc_port,
    ]
    for process in found["processes"]:
        os.kill(process["pid"], 0)
        assert Path(process["log"]).is_file()


def _pids(stack: Stack) -> dict[str, int]:
    found = json.loads(stack.local("status", "--json").stdout)
    return {process["name"]: process["pid"] for process in found["processes"]}


def test_another_port_on_a_running_stack_is_refused(stack: Stack) -> None:
    result = stack.local("up", GATEWAY_GRPC_PORT=str(ports.free_port()))
    assert result.returncode == 1
    assert "running with another gateway_grpc_port" in result.stderr


def test_a_port_in_use_is_named(stack: Stack, state_dir: Path) -> None:
    environment = {**stack.environment, "STREAMFLOW_STATE": str(state_dir / "second")}
    result = Stack(environment, stack.months).local("up")
    assert result.returncode == 1
    assert f"port {stack.config.gateway_grpc_port} is in use" in result.stderr
    assert "set GATEWAY_GRPC_PORT to another port" in result.stderr


def test_feast_itself_runs_with_the_written_environment(stack: Stack) -> None:
    result = subprocess.run(
        ["bash", "-c", f". {stack.layout.environment_file} && exec {_BIN / 'feast'} feature-services list"],
        cwd=_CHECKOUT / "feature_repo",
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "churn_v1" in result.stdout


@pytest.fixture
def correction(stack: Stack, tmp_path: Path) -> Iterator[Callable[[str, Callable[[list[str]], list[str]]], None]]:
    """Loads the newest month with one file edited line by line; the original is loaded again afterwards."""

    def load(table: str, edit: Callable[[list[str]], list[str]]) -> None:
        month = shutil.copytree(stack.newest.path, tmp_path / stack.newest.path.name)
        file = month / f"{table}.csv"
        file.chmod(0o644)
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join(edit(lines)), encoding="utf-8")
        _load(stack, month)

    yield load
    _load(stack, stack.newest.path)


def _load(stack: Stack, month: Path) -> None:
    stack.offline("ingest", str(month))
    stack.offline("materialize")


def test_a_correction_of_a_materialized_month_reaches_the_reply(
    stack: Stack, correction: Callable[[str, Callable[[list[str]], list[str]]], None]
) -> None:
    before = stack.ask(_CANARY)["failed_payments_90d"]
    correction(
        "payments_agg_90d",
        lambda lines: [f"{_CANARY},97\n" if line.startswith(_CANARY) else line for line in lines],
    )
    after = stack.ask(_CANARY)
    assert before != 97
    assert after["failed_payments_90d"] == 97
    assert after.event_timestamps["failed_payments_90d"] == datetime.combine(
        stack.newest.as_of, datetime.min.time(), UTC
    )


def test_a_user_that_a_correction_removes_falls_back_to_the_month_before(
    stack: Stack, correction: Callable[[str, Callable[[list[str]], list[str]]], None]
) -> None:
    correction("support_agg_90d", lambda lines: [line for line in lines if not line.startswith(_CANARY)])
    after = stack.ask(_CANARY)
    month_before = datetime.combine(find_months(stack.months)[-2].as_of, datetime.min.time(), UTC)
    assert after.event_timestamps["support_tickets_90d"] == month_before
    assert after.statuses["support_tickets_90d"] is FeatureStatus.PRESENT


def test_a_user_that_postgres_no_longer_has_is_not_served(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute("DELETE FROM support_agg_90d_snapshots WHERE user_id = %s", (_CANARY,))
    result = stack.offline("materialize")
    try:
        features = stack.ask(_CANARY)
        assert features.statuses["support_tickets_90d"] is FeatureStatus.NOT_FOUND
        assert features.statuses["skips_7d"] is FeatureStatus.PRESENT
        assert features.user_known
        assert "support_agg_90d_fv" in result.stdout
    finally:
        stack.offline("ingest", str(stack.months))
        stack.offline("materialize")
    assert stack.ask(_CANARY).statuses["support_tickets_90d"] is FeatureStatus.PRESENT


def test_a_window_that_would_leave_the_newest_month_out_is_refused(stack: Stack) -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        stack.offline("materialize", "--end", "2024-02-01")
    assert "rows after 2024-02-01T00:00:00+00:00, which would be left out of Redis" in raised.value.stderr
    assert stack.ask(_CANARY).event_timestamps["skips_7d"] == datetime.combine(
        stack.newest.as_of, datetime.min.time(), UTC
    )


def test_rows_dated_after_now_are_left_out_and_counted(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        future = date(datetime.now(UTC).year + 1, 1, 31)
        connection.execute(
            "INSERT INTO payments_agg_90d_snapshots (user_id, as_of, ingested_at, failed_payments_90d)"
            " VALUES (%s, %s, now(), 55)",
            (_CANARY, future),
        )
    try:
        result = stack.offline("materialize")
        row = next(line for line in result.stdout.splitlines() if "payments_agg_90d_fv" in line)
        assert row.split()[-1] == "1"
        assert stack.ask(_CANARY)["failed_payments_90d"] != 55
    finally:
        with psycopg.connect(stack.postgres_url) as connection:
            connection.execute("DELETE FROM payments_agg_90d_snapshots WHERE as_of = %s", (future,))


def test_data_survive_down_and_the_next_up(stack: Stack) -> None:
    before = stack.ask(_CANARY)
    down = stack.local("down")
    assert down.returncode == 0
    assert "stopped" in down.stdout
    assert not json.loads(stack.local("status", "--json").stdout)["running"]
    assert all(not ports.in_use(port) for port in stack.config.ports().values())
    result = stack.local("up")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "loading" not in result.stdout
    assert dict(stack.ask(_CANARY)) == dict(before)


def test_the_teams_own_servers_take_the_place_of_the_embedded_ones(
    postgres_url: str, redis_url: str, state_dir: Path, months: Path
) -> None:
    own = Stack(
        {**_environment(state_dir / "own"), "POSTGRES_URL": postgres_url, "REDIS_URL": f"{redis_url}/3"}, months
    )
    result = own.local("up")
    try:
        assert result.returncode == 0, result.stdout + result.stderr
        assert "generating two months of sample data" in result.stdout
        found = json.loads(own.local("status", "--json").stdout)
        assert [process["name"] for process in found["processes"]] == ["feature-server-1", "gateway"]
        assert own.ask(_CANARY).user_known
        assert not (own.layout.state / "data" / "postgres").exists()
    finally:
        own.local("down")


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
    broken = Stack({**_environment(state_dir / "broken"), variable: value}, months)
    result = broken.local("up", STREAMFLOW_CONNECT_TIMEOUT_S="1")
    broken.local("down")
    assert result.returncode == 1
    for message in messages:
        assert message in result.stderr
    assert "Traceback" not in result.stderr
