"""What a whole run writes: calls and jobs that succeed and that fail, a store that is away and comes back.

Each line of gateway, feature servers and jobs is JSON with the fields of logs/README.md. No file and no output has a
secret; none has a user id or a value unless the level is debug.
"""

import json
import re
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
import redis
from stack_under_test import BIN, UP_TIMEOUT_S, Stack, stack_environment
from streamflow_features import FeatureClient, FeatureServingError
from streamflow_local.secure import client_options
from streamflow_local.supervisor import Supervisor
from streamflow_local.waiting import wait_until

pytestmark = pytest.mark.slow

_USER_ID = re.compile(r"\d{4}-[A-Z]{5}")
_BAD_VALUE = "-98765.4321"
_SENT_VALUE = 987654.321
_WRONG_TOKEN = "a-wrong-token"
_FIELDS = ("time", "level", "event", "logger")
_BOUND_S = 60


@dataclass
class Run:
    """A run, and what its jobs wrote."""

    stack: Stack
    jobs: dict[str, tuple[int, str]] = field(default_factory=dict)

    def job(self, name: str, *arguments: str) -> None:
        ended = subprocess.run(
            self.stack.in_shell(str(BIN / "offline"), *arguments),
            env=self.stack.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT_S,
        )
        assert ended.stdout == "", name
        self.jobs[name] = ended.returncode, ended.stderr

    def logs(self) -> dict[str, str]:
        """Each file of the stack's logs, and what each job wrote."""
        files = {path.name: path.read_text(errors="replace") for path in self.stack.layout.logs.iterdir()}
        return files | {name: text for name, (_, text) in self.jobs.items()}

    def lines(self, name: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.logs()[name].splitlines()]


@pytest.fixture(scope="module", params=["info", "debug"])
def run(
    request: pytest.FixtureRequest, state_dir: Path, months: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    level = request.param
    variables = {"STREAMFLOW_LOG_FORMAT": "json", "STREAMFLOW_LOG_LEVEL": level}
    stack = Stack({**stack_environment(state_dir / f"logged-{level}"), **variables}, months)
    with stack.up("--secure"):
        run = Run(stack)
        _call(stack)
        _take_the_store_away(stack)
        _run_jobs(run, tmp_path_factory.mktemp("logged"))
        yield run


def _call(stack: Stack) -> None:
    """Calls that are answered, and calls that are refused for each reason a caller can give."""
    options = client_options(stack.config_as_started, stack.layout)
    users = _users(stack)[:200]
    with FeatureClient(stack.gateway, timeout_s=_BOUND_S, **options) as client:
        assert all(not isinstance(each, FeatureServingError) for each in client.get_users_features(users))
        sent = {"session_mins": _SENT_VALUE}
        for user_id, asked in (
            (f"{users[0]}\n", {}),
            (users[0], {"feature_service": "none_v1"}),
            (users[0], {"features": ["none_fv:none"]}),
            (users[0], {"feature_service": "session_v1", "request_data": {"none": _SENT_VALUE}}),
            (users[0], {"feature_service": "session_v1", "request_data": sent | {"none": "text"}}),
        ):
            with pytest.raises(FeatureServingError):
                client.get_user_features(user_id, **asked)
    options["token"] = _WRONG_TOKEN
    with (
        FeatureClient(stack.gateway, timeout_s=_BOUND_S, **options) as client,
        pytest.raises(FeatureServingError),
    ):
        client.get_user_features(users[0])
    trusted = ssl.create_default_context(cafile=stack.layout.ca_file)
    for path in (f"/features/{users[0]}%0A", f"/features/{users[0]}", f"/{users[0]}"):
        url = f"https://127.0.0.1:{stack.config.gateway_http_port}{path}"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=_BOUND_S, context=trusted)
        refused.value.close()


def _take_the_store_away(stack: Stack) -> None:
    """Calls while the online store is stopped, until one fails; back when one is answered."""
    supervisor, user_id = Supervisor(stack.layout), _users(stack)[0]
    options = client_options(stack.config_as_started, stack.layout)
    with FeatureClient(stack.gateway, timeout_s=5, follow_health=False, **options) as client:

        def ask() -> None:
            client.get_user_features(user_id)

        def fail() -> None:
            with pytest.raises(FeatureServingError):
                ask()

        supervisor.stop_process("valkey")
        for _ in range(50):
            fail()
        supervisor.start_process("valkey")
        wait_until(ask, failing=FeatureServingError, timeout_s=_BOUND_S, complaint=lambda: "the store is not back")
    stack.wait_until_healthy()


def _run_jobs(run: Run, folder: Path) -> None:
    run.job("generate", "generate", "--out", str(folder / "months"), "--users", "50", "--months", "1")
    usage = folder / "months" / "month_000" / "usage_agg_30d.csv"
    header, first, *others = usage.read_text(encoding="utf-8").splitlines(keepends=True)
    usage.write_text("".join((header, _with_bad_value(first), *others)), encoding="utf-8")
    run.job("ingest", "ingest", str(folder / "months"))
    run.job("apply", "apply", "--contract", str(folder / "contract.json"))
    run.job("materialize", "materialize")
    run.job("training-set", "training-set", "--out", str(folder / "training-set"))
    run.job("audit", "audit-skew", "--users", "200")
    layout, config = run.stack.layout, run.stack.config_as_started
    password = (layout.secrets / "redis_writer_password").read_text(encoding="utf-8").strip()
    with redis.Redis(port=config.redis_port, username="writer", password=password) as client:
        for key in client.scan_iter(count=1000):
            with suppress(redis.ResponseError):
                client.delete(key)
    run.job("audit-of-an-empty-redis", "audit-skew", "--users", "200")
    run.job("wrong-option", "audit-skew", "--usrs", "200")


def _with_bad_value(row: str) -> str:
    user_id, _, rest = row.split(",", 2)
    return f"{user_id},{_BAD_VALUE},{rest}"


def _usage(stack: Stack) -> pl.DataFrame:
    (newest,) = sorted(stack.layout.generated_months.glob("month_*"))[-1:]
    return pl.read_csv(newest / "usage_agg_30d.csv", schema_overrides={"watch_hours_30d": pl.String})


def _users(stack: Stack) -> list[str]:
    return [str(user_id) for user_id in _usage(stack)["user_id"]]


def _secrets(stack: Stack) -> list[str]:
    files = [path for path in stack.layout.secrets.rglob("*") if path.is_file() and path.name != ".curlrc"]
    found = [path.read_text(encoding="utf-8").split()[-1] for path in files]
    key = stack.layout.certificate_key.read_text(encoding="utf-8").splitlines()[1]
    assert len(found) >= 4
    return [*found, key, _WRONG_TOKEN]


_JSON = ("gateway.log", "feature-server-1.log", "feature-server-2.log")


def test_every_line_of_gateway_feature_servers_and_jobs_is_json_with_the_fields(run: Run) -> None:
    for name in (*_JSON, *run.jobs):
        lines = run.lines(name)
        assert lines, name
        for line in lines:
            assert all(line.get(required) for required in _FIELDS), (name, line)
            assert line["event"] != "failed" or line["reason"], (name, line)


def test_jobs_end_as_on_a_terminal_and_say_why(run: Run) -> None:
    codes = {name: code for name, (code, _) in run.jobs.items()}
    assert codes == dict.fromkeys(codes, 0) | {"ingest": 1, "audit-of-an-empty-redis": 1, "wrong-option": 2}
    for name, events in {
        "ingest": {"failed"},
        "apply": {"applied"},
        "materialize": {"materialized"},
        "training-set": {"training set written"},
        "audit": {"audit passed"},
        "audit-of-an-empty-redis": {"audit failed", "feature differs"},
        "wrong-option": {"failed"},
    }.items():
        assert events <= {line["event"] for line in run.lines(name)}, name


def test_calls_that_failed_are_counted_by_reason(run: Run) -> None:
    failed = [line for line in run.lines("gateway.log") if line["event"] == "call failed"]
    counts: dict[str, int] = {}
    for line in failed:
        reason = str(line["reason"])
        counts[reason] = counts.get(reason, 0) + int(str(line["count"]))
    assert counts["USER_ID_MALFORMED"] >= 1
    assert counts["FEATURE_SERVICE_UNKNOWN"] == 1
    assert counts["CREDENTIALS_INVALID"] >= 2
    away = sum(count for reason, count in counts.items() if reason in {"UPSTREAM_UNAVAILABLE", "DEADLINE_EXCEEDED"})
    assert away >= 50
    assert len(failed) < away


def test_no_log_has_a_secret(run: Run) -> None:
    secrets = _secrets(run.stack)
    assert [(name, secret) for name, text in run.logs().items() for secret in secrets if secret in text] == []


def test_no_log_has_a_user_or_a_value_unless_the_level_is_debug(run: Run) -> None:
    if run.stack.environment["STREAMFLOW_LOG_LEVEL"] == "debug":
        assert _USER_ID.search(run.logs()["audit-of-an-empty-redis"])
        return
    # Values with so many digits are nothing else.
    values = {value for value in _usage(run.stack)["watch_hours_30d"] if len(value) > 12}
    assert len(values) > 1000
    for name, text in run.logs().items():
        assert not _USER_ID.search(text), name
        words = set(re.findall(r"-?\d+\.\d+", text))
        assert not words & {*values, _BAD_VALUE, str(_SENT_VALUE)}, name
