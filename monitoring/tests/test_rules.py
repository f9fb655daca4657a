"""Prometheus's own checker takes the rules, and each alert fires when it must, and only then."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CASES, HEALTHY, AlertCase
from feature_gateway.errors import CODES
from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_loadtests.drill.alerts import ALERTS

_FOLDER = Path(__file__).parent.parent
_CHECKOUT = _FOLDER.parent
_RULES = [_FOLDER / "recording.yaml", _FOLDER / "alerts.yaml"]

# Whatever the caller does, a call may end with these; with the others, the caller can do something about it.
_OF_THE_SYSTEM = {
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.INTERNAL,
    StatusCode.RESOURCE_EXHAUSTED,
}


def _rules() -> list[dict[str, Any]]:
    groups = [group for file in _RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


_ALERTS = {rule["alert"]: rule for rule in _rules() if "alert" in rule}


def _promtool(promtool: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def test_prometheus_takes_the_rules(promtool: Path) -> None:
    checked = _promtool(promtool, "check", "rules", "--lint-fatal", *_RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _fired(alert: str, case: AlertCase) -> list[dict[str, Any]]:
    if alert not in case.fires:
        return []
    labels = {**case.fires[alert], **_ALERTS[alert]["labels"]}
    return [{"exp_labels": labels, "exp_annotations": _ALERTS[alert]["annotations"]}]


def _unit_test(case: AlertCase) -> dict[str, Any]:
    series = {**HEALTHY, **case.series}
    return {
        "rule_files": [str(file) for file in _RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {"eval_time": f"{case.at_min}m", "alertname": alert, "exp_alerts": _fired(alert, case)}
                    for alert in _ALERTS
                ],
            }
        ],
    }


@pytest.mark.parametrize("name", CASES)
def test_the_alerts_of_a_case_fire_and_no_others(name: str, promtool: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(_unit_test(CASES[name])), encoding="utf-8")
    tested = _promtool(promtool, "test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_and_the_cases_name_no_other() -> None:
    assert {alert for case in CASES.values() for alert in case.fires} == _ALERTS.keys()


def test_each_alerts_runbook_entry_says_what_it_means_where_to_look_and_what_to_do() -> None:
    text = (_CHECKOUT / "docs/runbook.md").read_text(encoding="utf-8")
    entries = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    by_anchor = {heading.lower(): entry for heading, entry in entries.items()}
    linked = set()
    for name, alert in _ALERTS.items():
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md"
        assert name.lower().startswith(anchor)
        linked.add(anchor)
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in by_anchor[anchor], (name, part)
    assert linked == by_anchor.keys()


def test_what_faults_raise_are_alerts_that_there_are() -> None:
    assert {name for alerts in ALERTS.values() for name in alerts.raised | alerts.possible} <= _ALERTS.keys()


def test_every_metric_of_the_rules_is_in_a_readmes_table() -> None:
    tables = [(_CHECKOUT / folder / "README.md").read_text(encoding="utf-8") for folder in ("gateway", "offline")]
    known = {name for table in tables for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)}
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    for rule in _rules():
        read = set(re.findall(r"\b(?:\w+:)*(?:gateway|streamflow)_\w+(?::\w+)?", rule["expr"]))
        assert read, rule
        for name in read:
            assert name in recorded or name in known or re.sub("_(bucket|count|sum)$", "", name) in known, name


def test_the_error_budget_is_used_by_what_is_not_the_callers_doing() -> None:
    of_the_system = {
        ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
        for reason, code in CODES.items()
        if code in _OF_THE_SYSTEM
    }
    rules = [rule for rule in _rules() if "gateway_call_errors:ratio" in rule.get("record", "")]
    assert len(rules) == 4
    for rule in rules:
        (reasons,) = re.findall(r'reason=~"([\w|]+)"', rule["expr"])
        # A call that ends UNKNOWN has no reason.
        assert set(reasons.split("|")) == of_the_system - {"RATE_LIMITED"} | {"UNKNOWN"}
