"""A real Prometheus scrapes a live gateway and a Pushgateway with a job's result, and evaluates the rules."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, Gateway, serving
from metric_samples import ask
from streamflow_monitoring.dashboard_queries import panel_queries
from streamflow_monitoring.prometheus import scraped, scraping
from streamflow_monitoring.rules import RULE_FILES
from streamflow_offline.reported import reported

pytestmark = pytest.mark.slow

_MONITORING = Path(sys.executable).parent / "monitoring"
_BOUND_S = 240


@pytest.fixture
def programs(prometheus: Path, pushgateway_url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """Prometheus, and the URL of the Pushgateway that jobs tell their results."""
    monkeypatch.setenv("PROMETHEUS_PUSHGATEWAY_URL", pushgateway_url)
    return prometheus, pushgateway_url


async def _until(condition: Callable[[], Any], *, gateway: Gateway) -> None:
    """Call the gateway until a condition holds."""
    async with asyncio.timeout(_BOUND_S):
        while not await condition():
            await ask(gateway)
            await ask(gateway, feature_service="scores_v1")
            await asyncio.sleep(0.05)


async def test_a_real_prometheus_evaluates_every_rule_and_raises_what_is_the_matter_alone(
    settings: Settings, feature_server: FakeFeatureServer, programs: tuple[Path, str], tmp_path: Path
) -> None:
    program, pushgateway_url = programs
    with reported("materialize") as result:
        result.rows = 3
    # One of the two is never there.
    urls = (feature_server.url, "http://127.0.0.1:1")
    within_the_trial = replace(settings, feature_server_urls=urls, start_trial_s=0.0)
    scraped_pushgateway = scraped("pushgateway", pushgateway_url.removeprefix("http://"), honor_labels=True)
    async with (
        serving(within_the_trial) as gateway,
        scraping(
            program,
            tmp_path,
            scrapes=[scraped("gateway", gateway.addresses.admin), scraped_pushgateway],
            rule_files=RULE_FILES,
        ) as prometheus,
    ):

        async def evaluated() -> bool:
            rules = await prometheus.rules()
            assert not [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")]
            return all(rule["health"] == "ok" for rule in rules)

        await _until(evaluated, gateway=gateway)
        recorded = [rule["name"] for rule in await prometheus.rules() if rule["type"] == "recording"]

        async def with_data() -> bool:
            return all([await prometheus.query(name) for name in recorded])

        await _until(with_data, gateway=gateway)
        # Its rows are of 2024, and its maximum age is a day.
        too_old = 'namespace_job_feature_view:gateway_features_too_old:ratio_rate5m{feature_view="usage_fv"}'
        assert await prometheus.value(too_old) == 1

        async def pending() -> bool:
            return {"ReplicasSetAside", "FeaturesTooOld"} <= (await prometheus.alerts()).keys()

        await _until(pending, gateway=gateway)
        assert not {"MaterializeFailed", "MaterializeLate", "JobFailed"} & (await prometheus.alerts()).keys()
        with pytest.raises(RuntimeError), reported("materialize"):
            raise RuntimeError("Redis is down")

        async def failed() -> bool:
            return (await prometheus.alerts()).get("MaterializeFailed") == "firing"

        await _until(failed, gateway=gateway)
        alerts = await prometheus.alerts()
    latency = {"LatencyBudgetBurnsFast", "LatencyBudgetBurnsSlowly"}
    # How fast the calls of this test are says how busy the machine is.
    assert alerts.keys() - latency == {"MaterializeFailed", "ReplicasSetAside", "FeaturesTooOld"}


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("programs")
def test_every_panel_of_every_dashboard_has_data_from_a_live_stack(tmp_path: Path) -> None:
    """The README's command starts the stack, and ends with an error that names the panels without data."""
    written = tmp_path / "results.md"
    ran = subprocess.run(
        [_MONITORING, "results", "--out", written], check=False, capture_output=True, text=True, timeout=800
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = re.findall(r"^\| ([^|`]+) \| `.*` \| (\d+) \|", written.read_text(encoding="utf-8"), re.MULTILINE)
    assert [panel for panel, _ in rows] == [query.panel for query in panel_queries()]
    assert all(int(series) > 0 for _, series in rows)
