"""The audit as a whole: what it refuses, when it waits, what its report says. The plants are in local/tests."""

import io
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from audit_reports import NOWHERE, report_of
from rich.console import Console
from streamflow_offline.audit.command import run
from streamflow_offline.audit.job import AuditRequest, audit_skew
from streamflow_offline.audit.report import as_tables
from streamflow_offline.errors import JobError
from streamflow_offline.feast_store import exclusive, undisturbed
from streamflow_offline.json_file import write_json
from training_sets import UNUSED_REDIS_URL


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"users": 0}, "give --users at least 1, or --all"),
        ({"threshold": 1.5}, "give --threshold from 0 to 1"),
        ({"threshold": math.nan}, "give --threshold from 0 to 1"),
        ({"timeout_s": 0.0}, "give --timeout-s above 0"),
    ],
)
def test_what_no_audit_can_be_made_of_is_refused(request_: dict[str, Any], told: str) -> None:
    with pytest.raises(JobError, match=told):
        audit_skew(AuditRequest(**request_), postgres_url="postgresql://127.0.0.1:1/x", redis_url=UNUSED_REDIS_URL)


def test_a_database_with_nothing_applied_is_refused(postgres_url: str) -> None:
    with pytest.raises(JobError, match="nothing is applied in this database; run `offline apply` first"):
        audit_skew(AuditRequest(gateway=NOWHERE), postgres_url=postgres_url, redis_url=UNUSED_REDIS_URL)


def test_a_gateway_that_is_not_there_is_named(applied_url: str) -> None:
    with pytest.raises(JobError, match=r"the gateway at 127.0.0.1:1 can't be read: UNAVAILABLE"):
        audit_skew(AuditRequest(gateway=NOWHERE), postgres_url=applied_url, redis_url=UNUSED_REDIS_URL)


def test_the_command_ends_with_two_when_it_cannot_find_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def code(json_file: Path | None = None) -> int:
        return run(AuditRequest(), json_file=json_file)

    monkeypatch.delenv("POSTGRES_URL", raising=False)
    monkeypatch.setenv("REDIS_URL", UNUSED_REDIS_URL)
    assert code() == 2
    assert "error: POSTGRES_URL must be set" in capsys.readouterr().err
    assert code(tmp_path / "none" / "report.json") == 2
    assert "there is no folder" in capsys.readouterr().err
    monkeypatch.setenv("POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert code() == 2
    assert "check POSTGRES_URL" in capsys.readouterr().err


def test_a_materialization_keeps_a_second_look_waiting_until_it_ends(postgres_url: str) -> None:
    events: list[str] = []

    def look() -> None:
        with undisturbed(postgres_url, timeout_s=20):
            events.append("looked")

    with psycopg.connect(postgres_url, autocommit=True) as watching, exclusive(postgres_url):
        looking = threading.Thread(target=look)
        looking.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        this = f"{waiting} (SELECT oid FROM pg_database WHERE datname = current_database())"
        deadline = time.monotonic() + 20
        while watching.execute(this.encode()).fetchone() != (1,):
            assert time.monotonic() < deadline
        events.append("materialized")
    looking.join(20)
    assert events == ["materialized", "looked"]


def test_a_materialization_that_does_not_end_is_told(postgres_url: str) -> None:
    with (
        exclusive(postgres_url),
        pytest.raises(JobError, match=r"has been running for 0.1 s; try again when it has ended"),
        undisturbed(postgres_url, timeout_s=0.1),
    ):
        pass


def test_an_audit_passes_up_to_its_threshold_for_each_feature() -> None:
    assert not report_of().passed
    assert not report_of(threshold=0.09).passed
    assert report_of(threshold=0.1).passed
    assert report_of().share == 0.1
    assert not report_of(threshold=1.0, definitions=("another dtype",)).passed


def test_the_json_report_has_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, report_of().as_json())

    def strict(text: str) -> None:
        raise AssertionError(text)

    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=strict)
    fee, photo = content.pop("features")
    assert content == {
        "passed": False,
        "feature_service": "churn_v1",
        "gateway": NOWHERE,
        "threshold": 0.0,
        "share": 0.1,
        "seed": 7,
        "audited_at": "2024-02-29T00:00:00+00:00",
        "duration_s": 1.235,
        "users": {"with_features": 10, "unknown": 0},
        "settled_users": 2,
        "values_compared": 19,
        "values_differing": 1,
        "contracts": {"definitions": "sha256:a", "registry": "sha256:a", "gateway": "sha256:a"},
        "definitions": [],
    }
    assert fee["kinds"] == {
        **dict.fromkeys(("null", "missing_online", "missing_offline", "online_older", "online_newer", "type"), 0),
        "value": 1,
    }
    assert fee["examples"] == [
        {
            "user_id": "0000-AAAAA",
            "kinds": ["value"],
            "offline": {"value": 29.85, "event_timestamp": "2024-02-29T00:00:00+00:00"},
            "online": {
                "value": "nan",
                "event_timestamp": "2024-02-29T00:00:00+00:00",
                "status": "PRESENT",
                "error": None,
            },
        }
    ]
    assert (photo["users"], photo["given_up"], photo["differing"]) == (9, 1, 0)


def test_the_tables_say_who_differs_and_the_verdict_why() -> None:
    out = io.StringIO()
    for part in as_tables(report_of(definitions=("the dtype is another",))):
        Console(file=out, width=200).print(part)
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]
    assert lines == [
        "feature dtype users differing share value null missing online missing offline online older online newer type",
        "subs_fv:fee Float64 10 1 10.00% 1 - - - - - -",
        "subs_fv:photo Bytes 9 (1 given up) 0 0.00% - - - - - - -",
        "feature user differs in offline online offline event online event",
        "subs_fv:fee 0000-AAAAA value 29.85 nan 2024-02-29T00:00:00+00:00 2024-02-29T00:00:00+00:00",
        "definitions: the dtype is another",
        (
            "skew in churn_v1: 1 of 19 values differ (10 with features); "
            "2 users differed only at first; definitions differ"
        ),
    ]


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="can't be written: Is a directory"):
        write_json(tmp_path, report_of().as_json())
