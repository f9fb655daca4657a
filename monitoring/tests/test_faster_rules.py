"""Rules that are some times as fast as the real ones, for faults that last seconds."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from streamflow_monitoring.rules import RULE_FILES, faster, groups, shorter, write_faster

_DURATION = re.compile(r"\b\d+(?:ms|[smhdwy])\b")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@pytest.mark.parametrize(
    ("duration", "factor", "expected"),
    [
        ("5m", 30, "10000ms"),
        ("1d", 30, "2880000ms"),
        ("1h30m", 60, "90000ms"),
        ("500ms", 2, "250ms"),
        ("1s", 1, "1000ms"),
    ],
)
def test_a_duration_is_divided(duration: str, factor: float, expected: str) -> None:
    assert shorter(duration, factor) == expected


@pytest.mark.parametrize(("duration", "factor"), [("1ms", 2), ("5", 1), ("", 1), ("5x", 1), ("m5", 1)])
def test_what_is_no_duration_or_would_be_none_is_refused(duration: str, factor: float) -> None:
    with pytest.raises(ValueError, match=r"duration|millisecond"):
        shorter(duration, factor)


def test_each_kind_of_duration_in_a_group_is_divided() -> None:
    group = {
        "name": "all",
        "interval": "30s",
        "rules": [
            {
                "alert": "A",
                "expr": "max_over_time(rate(a[5m])[1h:1m] offset 1d) > 3 * 3600 and job:a:rate5m > 5",
                "for": "5m",
                "keep_firing_for": "10m",
                "labels": {"severity": "page"},
            }
        ],
    }
    assert faster([group], 10) == [
        {
            "name": "all",
            "interval": "3000ms",
            "rules": [
                {
                    "alert": "A",
                    "expr": (
                        "max_over_time(rate(a[30000ms])[360000ms:6000ms] offset 8640000ms) > 3 * 3600 "
                        "and job:a:rate5m > 5"
                    ),
                    "for": "30000ms",
                    "keep_firing_for": "60000ms",
                    "labels": {"severity": "page"},
                }
            ],
        }
    ]


def test_of_the_real_rules_all_durations_are_divided_and_nothing_else_changes() -> None:
    before = [group for file in RULE_FILES for group in groups(file)]
    after = faster(before, 30)
    found, expected = _durations_ms(after), _durations_ms(before)
    assert len(expected) > 30
    assert found == [duration / 30 for duration in expected]
    assert _without_durations(after) == _without_durations(before)


def test_prometheus_takes_the_faster_rules(promtool: Path, tmp_path: Path) -> None:
    files = write_faster(tmp_path, 30)
    checked = subprocess.run(
        [promtool, "check", "rules", *files], capture_output=True, text=True, timeout=300, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _durations_ms(found: list[dict[str, Any]]) -> list[float]:
    """Every duration of the rules, in the order in which they are written."""
    texts = [str(rule.get(name, "")) for group in found for rule in group["rules"] for name in ("expr", "for")]
    parts = [re.fullmatch(r"(\d+)(\w+)", duration) for text in texts for duration in _DURATION.findall(text)]
    return [int(part[1]) * _MS[part[2]] for part in parts if part]


def _without_durations(found: list[dict[str, Any]]) -> str:
    return _DURATION.sub("DURATION", str(found))
