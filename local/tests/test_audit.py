"""The skew audit, on a real stack: it finds what is planted, all of it and nothing else."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from stack_under_test import BIN, CANARY, CHECKOUT, Stack
from streamflow_offline.audit.compare import Kind
from streamflow_offline.audit.job import AuditRequest, audit_skew
from streamflow_offline.audit.report import AuditReport
from streamflow_offline.audit.sample import Group, draw_sample
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import open_store
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_offline.materialize.job import materialize
from streamflow_offline.months import find_months
from streamflow_offline.user_keys import UserKeys

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from feast.protos.feast.types.Value_pb2 import Value

_MARCH = "2024-03-31"
_LIVE_TABLES = ("support_agg_90d", "payments_agg_90d", "usage_agg_30d", "subscriptions", "labels", "users")
_SNAPSHOTS = ("subscriptions_profile", "usage_agg_30d", "payments_agg_90d", "support_agg_90d", "labels")


@pytest.fixture(scope="module")
def stack(either_generated_stack: Stack) -> Stack:
    """The stack with generated data, whatever months are at hand, and either of the feature servers."""
    return either_generated_stack


@pytest.fixture(scope="module")
def loaded_months(stack: Stack) -> Path:
    """The months that the stack has loaded."""
    return stack.layout.generated_months


@pytest.fixture(scope="module")
def user_id(stack: Stack) -> str:
    """A user of a sample of 200 with internet, so with a value for every feature, and not the canary of readiness."""
    urls = {"postgres_url": stack.postgres_url, "redis_url": stack.config.redis_url}
    with (
        psycopg.connect(stack.postgres_url) as connection,
        redis.Redis.from_url(stack.config.redis_url) as client,
        open_store(**urls) as store,
    ):
        views = store.list_feature_views()
        sample = draw_sample(connection, client, views, project=str(store.project), users=200, seed=0)
        found = connection.execute(
            "SELECT user_id FROM subscriptions_profile_snapshots WHERE as_of = '2024-02-29' AND net_service <> 'No'"
            " AND user_id = ANY(%s) AND user_id <> %s ORDER BY user_id",
            (sample[Group.WITH_FEATURES], CANARY),
        ).fetchone()
    assert found is not None
    return str(found[0])


def _audit(stack: Stack, *, on_progress: Callable[[str], None] | None = None, **request: object) -> AuditReport:
    """Audit the sample of 200, or as asked for; who differ are read again at once."""
    asked = {"gateway": stack.gateway, "users": 200, "recheck_after_s": 0.0, "timeout_s": 30.0, **request}
    return audit_skew(
        AuditRequest(**asked),  # type: ignore[arg-type]  # by name
        postgres_url=stack.postgres_url,
        redis_url=stack.config.redis_url,
        on_progress=on_progress,
    )


def _found(report: AuditReport) -> dict[str, dict[Kind, int]]:
    """How many users differ in each kind, by the name of the feature that they do in."""
    return {
        entry.feature.name: {kind: count for kind, count in entry.kinds.items() if count}
        for entry in report.features
        if entry.differing
    }


@contextmanager
def _restored(stack: Stack, user_id: str) -> Iterator[tuple[redis.Redis, bytes]]:
    """A user's key in Redis, whose content is brought back at the end."""
    key = UserKeys(project="streamflow", join_key="user_id").key(user_id)
    with redis.Redis.from_url(stack.config.redis_url) as client:
        before = client.hgetall(key)
        try:
            yield client, key
        finally:
            client.delete(key)
            if before:
                client.hset(key, mapping=before)


def _ingest(stack: Stack, months: Path) -> None:
    ingest(months, postgres_url=stack.postgres_url)


def _materialize(stack: Stack) -> None:
    materialize(postgres_url=stack.postgres_url, redis_url=stack.config.redis_url, on_progress=lambda _: None)


@pytest.fixture
def correction(stack: Stack, loaded_months: Path, tmp_path: Path, user_id: str) -> Iterator[Path]:
    """A copy of the newest month in which the user has 97 failed payments; the original is loaded again afterwards."""
    newest = find_months(loaded_months)[-1].path
    corrected = shutil.copytree(newest, tmp_path / newest.name)
    file = corrected / "payments_agg_90d.csv"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(f"{user_id},97\n" if line.startswith(user_id) else line for line in lines), "utf-8")
    yield corrected
    _ingest(stack, newest)


def test_nothing_differs_on_a_stack_that_is_as_it_should_be(stack: Stack) -> None:
    report = _audit(stack, users=None)
    assert _found(report) == {}
    assert report.definitions == []
    assert report.passed
    with psycopg.connect(stack.postgres_url) as connection:
        users = connection.execute("SELECT count(DISTINCT user_id) FROM usage_agg_30d_snapshots").fetchone()
    assert users == (report.users["with_features"],)
    assert [entry.users for entry in report.features] == [sum(report.users.values())] * 14


def test_a_sample_is_of_the_size_asked_for_and_the_seeds(stack: Stack) -> None:
    report = _audit(stack, users=25, feature_service="engagement_v1")
    assert report.passed
    assert report.users == {"with_features": 25, "labelled_only": 0, "online_only": 0, "unknown": 5}
    assert [entry.feature.name for entry in report.features] == [
        *("months_active", "net_service", "watch_hours_30d", "rebuffer_events_7d"),
    ]


@pytest.mark.parametrize(
    ("feature", "plant", "kind"),
    [
        ("subs_profile_fv:monthly_fee", lambda value: value(double_val=1.5), Kind.VALUE),
        ("subs_profile_fv:net_service", lambda value: value(string_val="dsl"), Kind.VALUE),
        ("subs_profile_fv:plan_stream_tv", lambda value: value(), Kind.NULL),
        ("usage_agg_30d_fv:skips_7d", lambda value: value(string_val="5"), Kind.TYPE),
        ("subs_profile_fv:paperless_billing", lambda value: value(int64_val=1), Kind.TYPE),
    ],
)
def test_a_value_changed_in_redis_is_found(
    stack: Stack, user_id: str, feature: str, plant: "Callable[[type[Value]], Value]", kind: Kind
) -> None:
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415  # takes seconds to import
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415  # the same

    with _restored(stack, user_id) as (client, key):
        client.hset(key, _mmh3(feature), plant(Value).SerializeToString())  # type: ignore[arg-type]  # keys are bytes
        report = _audit(stack)
    name = feature.partition(":")[2]
    assert _found(report) == {name: {kind: 1}}
    [entry] = [entry for entry in report.features if entry.differing]
    assert entry.users == sum(report.users.values())
    [example] = entry.examples
    assert example.user_id == user_id
    assert (example.online.error is not None) == (kind is Kind.TYPE)
    assert not report.passed


def test_a_value_that_went_through_float32_is_one_of_another_type(stack: Stack, user_id: str) -> None:
    from feast.infra.online_stores.helpers import _mmh3  # noqa: PLC0415  # takes seconds to import
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415  # the same

    hours = stack.ask(user_id)["watch_hours_30d"]
    assert isinstance(hours, float)
    with _restored(stack, user_id) as (client, key):
        field = _mmh3("usage_agg_30d_fv:watch_hours_30d")
        client.hset(key, field, Value(float_val=hours).SerializeToString())  # type: ignore[arg-type]  # keys are bytes
        report = _audit(stack)
    assert _found(report) == {"watch_hours_30d": {Kind.TYPE: 1}}


def test_a_user_missing_online_is_found(stack: Stack, user_id: str) -> None:
    with _restored(stack, user_id) as (client, key):
        client.delete(key)
        report = _audit(stack)
        tolerant = _audit(stack, threshold=0.005)
    assert list(_found(report).values()) == [{Kind.MISSING_ONLINE: 1}] * 14
    assert {example.user_id for entry in report.features for example in entry.examples} == {user_id}
    assert not report.passed
    assert tolerant.passed
    assert tolerant.differing == 14


def test_a_user_that_only_redis_has_is_found(stack: Stack, user_id: str) -> None:
    with _restored(stack, user_id) as (client, key), _restored(stack, "0000-AAAAA") as (_, departed):
        client.restore(departed, 0, client.dump(key))  # type: ignore[arg-type]  # keys are bytes
        report = _audit(stack, users=None, feature_service="engagement_v1")
    assert report.users["online_only"] == 1
    assert list(_found(report).values()) == [{Kind.MISSING_OFFLINE: 1}] * 4


def test_a_month_that_is_not_materialized_is_found(stack: Stack, loaded_months: Path, tmp_path: Path) -> None:
    march = generate_months(tmp_path / "three", months=3)[-1]
    _ingest(stack, march)
    try:
        report = _audit(stack)
    finally:
        with psycopg.connect(stack.postgres_url) as connection:
            for table in (*(f"{name}_snapshots" for name in _SNAPSHOTS), *_LIVE_TABLES):
                connection.execute(f"DELETE FROM {table} WHERE as_of = %s", (_MARCH,))
        _ingest(stack, loaded_months)
    assert {kinds[Kind.ONLINE_OLDER] for kinds in _found(report).values()} == {200}
    assert _found(report)["watch_hours_30d"][Kind.VALUE] > 190
    assert report.share == 200 / 205
    assert not report.passed
    assert report.settled == 0


def test_a_correction_that_did_not_reach_redis_is_found(stack: Stack, correction: Path, user_id: str) -> None:
    _ingest(stack, correction)
    report = _audit(stack)
    assert _found(report) == {"failed_payments_90d": {Kind.VALUE: 1}}
    [example] = next(entry.examples for entry in report.features if entry.differing)
    assert (example.user_id, example.offline.value) == (user_id, 97)
    assert example.offline.event_timestamp == example.online.event_timestamp


def test_what_is_materialized_while_the_audit_runs_is_no_skew(
    stack: Stack, correction: Path, loaded_months: Path
) -> None:
    _ingest(stack, correction)
    told = []

    def materialize_once_told(line: str) -> None:
        told.append(line)
        if line.startswith("users who differ"):
            _materialize(stack)

    try:
        report = _audit(stack, on_progress=materialize_once_told)
    finally:
        _ingest(stack, find_months(loaded_months)[-1].path)
        _materialize(stack)
    assert "users who differ: 1;" in told[-1]
    assert _found(report) == {}
    assert report.settled == 1
    assert report.passed


def test_a_definition_changed_without_apply_is_found_and_ends_the_command_with_one(
    stack: Stack, tmp_path: Path
) -> None:
    repo = shutil.copytree(CHECKOUT / "feature_repo", tmp_path / "feature_repo")
    views = repo / "streamflow_repo" / "definitions" / "views.py"
    text = views.read_text(encoding="utf-8")
    assert 'Field(name="support_tickets_90d", dtype=Int64' in text
    changed = text.replace(
        'Field(name="support_tickets_90d", dtype=Int64', 'Field(name="support_tickets_90d", dtype=Float64'
    )
    views.write_text(changed, encoding="utf-8")

    environment = {"PYTHONPATH": str(repo), "PROMETHEUS_TEXTFILE_DIR": str(tmp_path)}
    result = _offline(stack, "--users", "5", "--json", str(tmp_path / "report.json"), **environment)

    assert result.returncode == 1, result.stderr
    kept = (tmp_path / "streamflow_audit-skew_churn_v1.prom").read_text(encoding="utf-8").splitlines()
    labels = '{command="audit-skew",feature_service="churn_v1"}'
    assert {f"streamflow_audit_passed{labels} 0.0", f"streamflow_job_last_succeeded{labels} 1.0"} <= {*kept}
    told = (
        "support_agg_90d_fv:support_tickets_90d is Float64 in the definitions, "
        "Int64 in the registry and the gateway's contract"
    )
    assert told in " ".join(result.stdout.split())
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert not report["passed"]
    assert report["contracts"]["definitions"] != report["contracts"]["registry"] == report["contracts"]["gateway"]
    assert told in report["definitions"]
    assert (report["values_compared"], report["values_differing"]) == (14 * 10, 0)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["payments_agg_90d_fv:failed_payments_90d", "Int64", "10", "0", "0.00%", *"-------"] in lines
    assert "skew in churn_v1: 0 of 140 values differ (5 with features, 5 unknown); definitions differ" in result.stdout


def test_a_gateway_that_is_not_there_ends_with_two_and_what_to_do(stack: Stack) -> None:
    result = _offline(stack, "--gateway", "127.0.0.1:1")
    assert result.returncode == 2
    assert "error: the gateway at 127.0.0.1:1 can't be read: UNAVAILABLE" in result.stderr
    assert "make up" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_feature_service_that_is_nowhere_is_refused(stack: Stack) -> None:
    with pytest.raises(JobError, match=r"there is no feature service 'churn_v9'"):
        _audit(stack, feature_service="churn_v9")


def _offline(stack: Stack, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    urls = {"POSTGRES_URL": stack.postgres_url, "REDIS_URL": stack.config.redis_url}
    return subprocess.run(
        [str(BIN / "offline"), "audit-skew", *arguments],
        env={**stack.environment, **urls, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
