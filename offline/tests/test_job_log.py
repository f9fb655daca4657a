"""What a job writes as JSON lines: its progress, its result, and its failure without a value of a user."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.quoting import quoted

_OFFLINE = Path(sys.executable).parent / "offline"
_TIMEOUT_S = 120


def _run(arguments: list[str], url: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_OFFLINE, *arguments],
        env={"PATH": os.environ["PATH"], "POSTGRES_URL": url, "REDIS_URL": "redis://127.0.0.1:1", **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )


def _lines(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert ended.stdout == ""
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_what_an_error_quotes_is_shown_to_people_and_not_logged() -> None:
    inner = JobError(f"line 2: {quoted(repr('0001-AAAAA'))} is not a user")
    outer = JobError(f"nothing was loaded: {inner.message}; correct it")
    assert str(outer) == "nothing was loaded: line 2: '0001-AAAAA' is not a user; correct it"
    assert outer.logged == "nothing was loaded: line 2: … is not a user; correct it"


@pytest.mark.parametrize("value", ["\ufdd0", "\ufdd1", "a\ufdd1b\ufdd0c"])
def test_no_value_ends_its_quote(value: str) -> None:
    assert JobError(f"{quoted(repr(value))} is wrong").logged == "… is wrong"


def test_progress_and_result_are_events_with_counts(write_month: Callable[[], Path], applied_url: str) -> None:
    ended = _run(["ingest", str(write_month())], applied_url, STREAMFLOW_LOG_FORMAT="json")
    lines = _lines(ended)
    assert ended.returncode == 0
    assert {line["event"] for line in lines} == {"progress", "ingested"}
    [labels] = [line for line in lines if str(line.get("table")).startswith("labels")]
    assert (labels["rows"], labels["inserted"], labels["level"]) == (3, 3, "info")
    assert "0001-AAAAA" not in ended.stderr


def test_a_refused_file_is_named_with_line_and_column_and_without_its_value(
    month_files: dict[str, str], write_month: Callable[[], Path], applied_url: str
) -> None:
    month_files["usage_agg_30d"] = month_files["usage_agg_30d"].replace("28.761993560817107", "-98.7654321")
    month_files["labels"] = month_files["labels"].replace("0003-CCCCC", "0004-DDDDD")
    folder = str(write_month())
    ended = _run(["ingest", folder], applied_url, STREAMFLOW_LOG_FORMAT="json")
    said = _lines(ended)[-1]
    assert (ended.returncode, said["level"], said["event"]) == (1, "critical", "failed")
    assert "line 3, watch_hours_30d: … " in said["reason"]
    assert "line 4, user_id: … is not in users.csv" in said["reason"]
    assert "98.7654321" not in ended.stderr
    assert "0004-DDDDD" not in ended.stderr
    shown = _run(["ingest", folder], applied_url)
    assert "line 3, watch_hours_30d: '-98.7654321' " in shown.stderr
    assert "error: " in shown.stderr


def test_a_wrong_option_and_a_wrong_setting_are_one_line_each() -> None:
    url = "postgresql://127.0.0.1:1/none"
    for arguments, variables, code, reason in (
        (["ingest"], {}, 2, "Missing argument"),
        (["audit-skew", "--users", "many"], {}, 2, "Invalid value for '--users'"),
        (["sample"], {"POSTGRES_URL": "nothing"}, 1, "POSTGRES_URL"),
        (["audit-skew"], {"POSTGRES_URL": "nothing"}, 2, "POSTGRES_URL"),
    ):
        ended = _run(arguments, url, STREAMFLOW_LOG_FORMAT="json", **variables)
        [said] = _lines(ended)
        assert (ended.returncode, said["event"]) == (code, "failed")
        assert reason in said["reason"]


def test_a_log_format_that_is_none_is_an_error() -> None:
    ended = _run(["sample"], "postgresql://127.0.0.1:1/none", STREAMFLOW_LOG_FORMAT="xml")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: STREAMFLOW_LOG_FORMAT is 'xml'; set it to text or json\n",
    )
