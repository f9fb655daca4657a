"""How a job ended is kept by a real Pushgateway, and in a file for node exporter, after the job is gone."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from online_stores import OnlineStores
from prometheus_client.parser import text_string_to_metric_families
from streamflow_local.process import inheritable
from streamflow_offline import cli, kept_results
from streamflow_offline.audit.command import run as run_audit
from streamflow_offline.audit.job import AuditRequest
from streamflow_offline.reported import reported

WriteMonth = Callable[..., Path]
Results = Mapping[str, float]

_SUCCESS = "streamflow_job_last_success_timestamp_seconds"
_ENDED = "streamflow_job_last_end_timestamp_seconds"


@pytest.fixture
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Kept":
    """One of the two places where results are kept, set for the jobs of the test."""
    if request.param == "pushgateway":
        url = request.getfixturevalue("pushgateway_url")
        monkeypatch.setenv("PROMETHEUS_PUSHGATEWAY_URL", url)

        def read() -> str:
            with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:  # noqa: S310  # http
                return str(answer.read().decode())

        return Kept(read)
    folder = tmp_path / "textfiles"
    folder.mkdir()
    monkeypatch.setenv("PROMETHEUS_TEXTFILE_DIR", str(folder))
    return Kept(lambda: "".join(file.read_text() for file in sorted(folder.glob("*.prom"))))


class Kept:
    """Where results are kept."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def of(self, command: str, **labels: str) -> Results:
        """The results of a command, by metric."""
        wanted = {"command": command, **labels}
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(self._read())
            for sample in family.samples
            if sample.name.startswith("streamflow_")
            and {name: value for name, value in sample.labels.items() if name not in {"job", "instance"} and value}
            == wanted
        }


with_each_place = pytest.mark.parametrize("kept", ["pushgateway", "textfile"], indirect=True)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Callable[..., object]:
    """Run a command of `offline`; return its exit code or message, None or 0 for success."""

    def run(*arguments: object, postgres_url: str, redis_url: str = redis_url) -> object:
        monkeypatch.setenv("POSTGRES_URL", postgres_url)
        monkeypatch.setenv("REDIS_URL", redis_url)
        monkeypatch.setattr(sys, "argv", ["offline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    return run


@with_each_place
def test_a_run_leaves_when_it_ended_its_duration_and_its_rows(
    kept: Kept, command: Callable[..., object], write_month: WriteMonth, postgres_url: str
) -> None:
    before_s = time.time()
    assert not command("ingest", write_month(), postgres_url=postgres_url)
    found = kept.of("ingest")
    assert found.keys() == {
        _ENDED,
        _SUCCESS,
        "streamflow_job_last_duration_seconds",
        "streamflow_job_last_rows",
        "streamflow_job_last_succeeded",
    }
    assert before_s <= found[_SUCCESS] == found[_ENDED] <= time.time()
    assert 0 < found["streamflow_job_last_duration_seconds"] <= time.time() - before_s
    # Three users in five tables of snapshots.
    assert found["streamflow_job_last_rows"] == 15
    assert found["streamflow_job_last_succeeded"] == 1


@with_each_place
def test_a_failed_run_leaves_the_time_of_the_last_success(
    kept: Kept, command: Callable[..., object], write_month: WriteMonth, postgres_url: str, tmp_path: Path
) -> None:
    assert not command("ingest", write_month(), postgres_url=postgres_url)
    well = kept.of("ingest")
    assert command("ingest", tmp_path / "none", postgres_url=postgres_url)
    failed = kept.of("ingest")
    assert failed["streamflow_job_last_succeeded"] == 0
    assert failed[_SUCCESS] == well[_SUCCESS]
    assert failed[_ENDED] > well[_ENDED]
    assert failed["streamflow_job_last_rows"] == 15


@with_each_place
def test_each_command_and_feature_service_has_results_of_its_own(
    kept: Kept, online_stores: OnlineStores, write_month: WriteMonth, tmp_path: Path
) -> None:
    stores = {"POSTGRES_URL": online_stores.postgres_url, "REDIS_URL": online_stores.redis_url}
    for arguments in (
        ("ingest", write_month()),
        ("materialize",),
        ("training-set", "--out", tmp_path / "a"),
        ("training-set", "--out", tmp_path / "b", "--service", "engagement_v1"),
        ("apply", "--contract", tmp_path / "contract.json"),
    ):
        # In processes of their own, because Feast leaves connections to Redis open.
        subprocess.run(
            [Path(sys.executable).with_name("offline"), *arguments],
            check=True,
            capture_output=True,
            timeout=250,
            env={**inheritable(os.environ), **stores},
        )
    assert kept.of("materialize")["streamflow_job_last_rows"] == 4 * 3
    assert "streamflow_job_last_rows" not in kept.of("apply")
    for service in ("churn_v1", "engagement_v1"):
        found = kept.of("training-set", feature_service=service)
        assert (found["streamflow_job_last_rows"], found["streamflow_job_last_succeeded"]) == (3, 1)


@with_each_place
def test_an_audit_that_cannot_be_made_is_a_failed_run_without_a_verdict(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, applied_url: str, redis_url: str
) -> None:
    monkeypatch.setenv("POSTGRES_URL", applied_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert run_audit(AuditRequest(gateway="127.0.0.1:1"), json_file=None) == 2
    found = kept.of("audit-skew", feature_service="churn_v1")
    assert found["streamflow_job_last_succeeded"] == 0
    assert "streamflow_audit_passed" not in found


@with_each_place
def test_an_audits_verdict_is_kept_while_later_audits_cannot_be_made(kept: Kept) -> None:
    for passed, expected in ((True, 1), (False, 0)):
        with reported("audit-skew", feature_service="session_v1") as result:
            result.rows, result.audit_passed = 10, passed
        found = kept.of("audit-skew", feature_service="session_v1")
        assert (found["streamflow_audit_passed"], found["streamflow_job_last_succeeded"]) == (expected, 1)
    with pytest.raises(KeyboardInterrupt), reported("audit-skew", feature_service="session_v1"):
        raise KeyboardInterrupt
    found = kept.of("audit-skew", feature_service="session_v1")
    assert (found["streamflow_audit_passed"], found["streamflow_job_last_succeeded"]) == (0, 0)


def test_a_pushgateway_that_is_away_fails_no_run(
    command: Callable[..., object],
    write_month: WriteMonth,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PROMETHEUS_PUSHGATEWAY_URL", "http://127.0.0.1:1")
    assert not command("ingest", write_month(), postgres_url=postgres_url)
    assert "PROMETHEUS_PUSHGATEWAY_URL: the result of this run could not be pushed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (("PROMETHEUS_PUSHGATEWAY_URL", "pushgateway:9091"), "is not a URL like http://pushgateway:9091"),
        (("PROMETHEUS_PUSHGATEWAY_URL", "http://me:hidden@pushgateway:9091"), "without user name and password"),
        (("PROMETHEUS_TEXTFILE_DIR", "/nowhere/at/all"), "there is no folder /nowhere/at/all"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_before_the_job_works(
    command: Callable[..., object],
    write_month: WriteMonth,
    monkeypatch: pytest.MonkeyPatch,
    setting: tuple[str, str],
    message: str,
) -> None:
    monkeypatch.setenv(*setting)
    said = str(command("ingest", write_month(), postgres_url="postgresql://nobody@127.0.0.1:1/none"))
    assert message in said
    assert "hidden" not in said


def test_a_file_that_is_no_result_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_TEXTFILE_DIR", str(tmp_path))
    file = tmp_path / "streamflow_ingest.prom"
    file.write_text("{ not a metric")
    with reported("ingest") as result:
        result.rows = 1
    assert 'streamflow_job_last_rows{command="ingest"} 1.0' in file.read_text()


def test_the_readme_has_every_result_and_no_other() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(streamflow_\w+)` \| `command`, `feature_service` \| (.*) \|$", readme, re.MULTILINE)
    assert dict(table) == kept_results._MEANINGS
