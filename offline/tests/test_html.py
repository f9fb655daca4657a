"""Reports as pages: one file without a script and without another host, and all names and values as text."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from audit_reports import report_of
from html_pages import read_page
from streamflow_offline.audit.compare import Feature, OfflineCell, OnlineCell, compared
from streamflow_offline.audit.page import audit_page
from streamflow_offline.errors import JobError
from streamflow_offline.html import Section, Table, bars, histograms, html_page, lines, refuse_html, writing
from streamflow_offline.ingest.job import ingest
from streamflow_offline.training_set.page import refused_page, training_set_page
from training_sets import build

_OFFLINE = Path(sys.executable).parent / "offline"
_HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\" onload='alert(1)",
    "{{ 7 * 7 }}",
    "\u202egnp.exe\u2066",
    "]]></style><svg onload=alert(1)>",
    "x" * 100_000,
    "a\x00b\x1b[31m\n",
)


@pytest.mark.parametrize("hostile", _HOSTILE, ids=range(len(_HOSTILE)))
def test_a_hostile_name_or_value_is_text_wherever_it_stands(hostile: str) -> None:
    pictures = [
        bars({hostile: 0.5, "b": 0.1}, title="share", percent=True),
        lines({hostile: [(1, 2.0), (2, 3.0)]}, x_title="callers", title="calls/s"),
        histograms({hostile: {hostile: [(hostile, 2), ("b", 1)]}}),
    ]
    sections = [
        Section(
            title=hostile,
            text=hostile,
            picture=picture,
            picture_says=hostile,
            table=Table(header=(hostile,), rows=[(hostile,)]),
        )
        for picture in pictures
    ]
    text = html_page(hostile, passed=False, facts={hostile: hostile}, sections=sections)
    page = read_page(text)
    assert "\u202e" not in page.text.replace(hostile, "")
    shown = hostile[:50].replace("\u202e", r"\u202e").replace("\x00", r"\x00").replace("\x1b", r"\x1b")
    assert shown.split("\n")[0].split("\u2066")[0] in page.text
    assert len(text) < 400_000


def test_a_page_is_readable_in_the_dark_and_in_print() -> None:
    page = html_page("title", facts={}, sections=[])
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert '<html lang="en">' in page


def test_the_page_of_an_audit_has_the_verdict_each_feature_and_who_differs() -> None:
    page = read_page(audit_page(report_of()))
    assert "Skew in churn_v1" in page.text
    for said in ("subs_fv:fee", "subs_fv:photo", "10.00%", "0000-AAAAA", "29.85", "nan"):
        assert said in page.text, said
    assert any("subs_fv:fee" in svg for svg in page.pictures)
    passed = read_page(audit_page(report_of(threshold=0.1)))
    assert "No skew in churn_v1" in passed.text


@pytest.mark.parametrize("hostile", _HOSTILE, ids=range(len(_HOSTILE)))
def test_hostile_values_of_an_audit_are_text(hostile: str) -> None:
    report = report_of(definitions=(hostile,))
    feature = Feature(view=hostile, name="fee", dtype="String", max_age_s=None)
    found = replace(report.features[0], feature=feature)
    offline, online = OfflineCell(value=hostile), OnlineCell(value=None, error=hostile)
    found.add(hostile, compared("String", offline, online))
    page = read_page(audit_page(replace(report, features=[found])))
    assert "definitions differ" in page.text.lower()


def test_the_page_of_a_training_set_has_days_label_balance_nulls_and_distributions(
    write_month: Callable[..., Path], applied_url: str, tmp_path: Path
) -> None:
    write_month("month_000")
    ingest(write_month("month_001"), postgres_url=applied_url)
    for out in (tmp_path / "dataset", tmp_path / "set.csv"):
        report = build(applied_url, out)
        page = read_page(training_set_page(report))
        for said in ("Training set of churn_v1", "2024-01-31", "2024-02-29", "monthly_fee", "33.33%", "DSL"):
            assert said in page.text, (out, said)
        assert str(report.manifest["content_hash"]) in page.text
        assert len(page.pictures) == 3
        assert "watch_hours_30d" in page.pictures[2]


def test_a_training_set_that_is_refused_has_a_page_with_the_reason() -> None:
    page = read_page(refused_page("churn_v1", JobError("line 2: <b>'no time'</b> is not a time")))
    assert "line 2: <b>'no time'</b> is not a time" in page.text


def test_without_the_extra_html_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refuse_html(tmp_path / "report.html")
    with pytest.raises(JobError, match="there is no folder"):
        refuse_html(tmp_path / "none" / "report.html")

    def none_of(name: str) -> Any:
        return None if name == "vl_convert" else object()

    monkeypatch.setattr(writing, "find_spec", none_of)
    with pytest.raises(JobError, match=r"--html needs vl_convert; install streamflow-offline\[html\]"):
        refuse_html(tmp_path / "report.html")


def test_the_command_writes_the_page_of_a_training_set_and_of_its_refusal(
    write_month: Callable[..., Path], applied_url: str, tmp_path: Path
) -> None:
    ingest(write_month(), postgres_url=applied_url)
    page = tmp_path / "page.html"
    for code, title in ((0, "Training set of churn_v1"), (1, "No training set of churn_v1")):
        ended = subprocess.run(
            [_OFFLINE, "training-set", "--out", tmp_path / "set", "--html", page],
            env={"PATH": os.environ["PATH"], "POSTGRES_URL": applied_url, "REDIS_URL": "redis://127.0.0.1:1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == code, ended.stderr
        assert title in read_page(page.read_text(encoding="utf-8")).text
    # The second is refused because there is a first.
    assert "is there already" in page.read_text(encoding="utf-8")
