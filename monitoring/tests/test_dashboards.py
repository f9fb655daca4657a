"""The committed dashboards are what the builder makes, and ask Prometheus for what there is."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from streamflow_monitoring import files
from streamflow_monitoring.boards import DASHBOARDS
from streamflow_monitoring.dashboard_queries import panel_queries
from streamflow_monitoring.rules import CHECKOUT

_LARGEST_CONFIG_MAP = 1_000_000
_OF_THE_PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}


def _dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files.DASHBOARDS_FOLDER.glob("*.json")}


_EACH = pytest.mark.parametrize("name", DASHBOARDS)


def test_what_is_committed_is_what_is_made() -> None:
    assert files.outdated() == [], "write them with `.venv/bin/monitoring generate`"
    assert _dashboards().keys() == DASHBOARDS.keys()


@_EACH
def test_a_dashboard_can_be_a_config_map(name: str) -> None:
    path = files.DASHBOARDS_FOLDER / f"{name}.json"
    assert path.stat().st_size < _LARGEST_CONFIG_MAP


@_EACH
def test_a_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in _dashboards()[name]["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["targets"], panel["title"]


@_EACH
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = _dashboards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        for place in (panel["gridPos"] for panel in panels)
    ]
    assert not any(one & other for one, other in combinations(cells, 2))
    assert max(x for taken in cells for x, _ in taken) < 24


@_EACH
def test_what_is_asked_is_of_the_namespaces_and_the_data_source_that_are_chosen(name: str) -> None:
    dashboard = _dashboards()[name]
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert variables == ["datasource", "namespace", "job"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            selectors = re.findall(r"\{(.*?)\}", target["expr"])
            assert selectors
            assert all('namespace=~"$namespace"' in selector for selector in selectors), target["expr"]


def test_every_metric_that_is_asked_for_is_recorded_or_in_a_readmes_table() -> None:
    tables = [(CHECKOUT / folder / "README.md").read_text(encoding="utf-8") for folder in ("gateway", "offline")]
    known = {name for table in tables for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)}
    for query in panel_queries():
        asked = set(re.findall(r"([\w:]+)\{", query.expression))
        assert asked
        for name in asked - _recorded() - _OF_THE_PROCESS:
            assert name in known or re.sub("_(bucket|count|sum)$", "", name) in known, name


def test_every_recorded_series_is_on_a_dashboard() -> None:
    asked = {name for query in panel_queries() for name in re.findall(r"([\w:]+)\{", query.expression)}
    assert not _recorded() - asked


def _recorded() -> set[str]:
    content = yaml.safe_load((CHECKOUT / "monitoring/recording.yaml").read_text(encoding="utf-8"))
    return {rule["record"] for group in content["groups"] for rule in group["rules"]}
