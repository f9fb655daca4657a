"""What docker-compose.yml gives Prometheus and Grafana fits together, and Prometheus takes it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml
from streamflow_monitoring.rules import CHECKOUT

_SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]


def _placed(service: str, root: Path) -> None:
    """Copy the files of the checkout to where a service mounts them, under `root`."""
    for text in _SERVICES[service]["volumes"]:
        source, target, *_ = text.split(":")
        if source.startswith("./"):
            place = root / target.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (CHECKOUT / source).is_dir() else shutil.copy
            copy(CHECKOUT / source, place)


def _loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_prometheus_takes_the_configuration_and_the_rules_where_they_are_mounted(
    promtool: Path, tmp_path: Path
) -> None:
    _placed("prometheus", tmp_path)
    (option,) = [word for word in _SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    file = tmp_path / option.removeprefix("--config.file=/")
    # The container's root is a folder here.
    file.write_text(
        file.read_text(encoding="utf-8").replace("[/etc/", f"[{tmp_path}/etc/").replace(", /etc/", f", {tmp_path}/etc/")
    )
    checked = subprocess.run(
        [promtool, "check", "config", "--lint-fatal", file], capture_output=True, text=True, timeout=300, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("rules found") == 2, checked.stdout


def test_prometheus_scrapes_the_gateway_and_the_pushgateway_on_networks_that_it_shares_with_them() -> None:
    configuration = _loaded(CHECKOUT / "monitoring/compose/prometheus.yml")
    targets = {
        scrape["job_name"]: target
        for scrape in configuration["scrape_configs"]
        for static in scrape["static_configs"]
        for target in static["targets"]
    }
    assert targets == {"gateway": "gateway:8001", "pushgateway": "pushgateway:9091"}
    mine = set(_SERVICES["prometheus"]["networks"])
    for target in targets.values():
        assert mine & set(_SERVICES[target.partition(":")[0]]["networks"]), target


def test_the_jobs_reach_the_pushgateway() -> None:
    told = [
        name for name, service in _SERVICES.items() if "PROMETHEUS_PUSHGATEWAY_URL" in service.get("environment", {})
    ]
    assert set(told) == {"apply", "sample", "materialize", "flow"}
    for name in told:
        assert "results" in _SERVICES[name]["networks"], name


def test_grafana_finds_prometheus_and_the_dashboards(tmp_path: Path) -> None:
    _placed("grafana", tmp_path)
    provisioning = tmp_path / "etc/grafana/provisioning"
    (source,) = _loaded(provisioning / "datasources/prometheus.yaml")["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    assert set(_SERVICES["grafana"]["networks"]) & set(_SERVICES["prometheus"]["networks"])
    (provider,) = _loaded(provisioning / "dashboards/streamflow.yaml")["providers"]
    shown = {path.name for path in (tmp_path / provider["options"]["path"].removeprefix("/")).iterdir()}
    assert shown == {"serving.json", "feature-health.json", "capacity.json"}
    for name in shown:
        text = (CHECKOUT / "monitoring/dashboards" / name).read_text(encoding="utf-8")
        assert json.loads(text)["templating"]["list"][0]["query"] == source["type"]


def test_nobody_can_log_in_to_grafana() -> None:
    variables = _SERVICES["grafana"]["environment"]
    assert variables["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert variables["GF_AUTH_DISABLE_LOGIN_FORM"] == variables["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert variables["GF_AUTH_BASIC_ENABLED"] == "false"
