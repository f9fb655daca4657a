"""What a watch counts: the calls of a drill, and none of before."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from streamflow_monitoring.alert_watch import AlertWatch

pytestmark = pytest.mark.slow

_BOUND_S = 120
# Half a second each: both windows of an alert are full.
_SCRAPES = 40
_METRICS = """\
# TYPE gateway_calls_total counter
gateway_calls_total{method="GetUserFeatures",code="OK"} 30000
# TYPE gateway_call_duration_seconds histogram
gateway_call_duration_seconds_bucket{method="GetUserFeatures",le="0.02"} 10000
gateway_call_duration_seconds_bucket{method="GetUserFeatures",le="+Inf"} 30000
gateway_call_duration_seconds_sum{method="GetUserFeatures"} 3000
gateway_call_duration_seconds_count{method="GetUserFeatures"} 30000
"""


@dataclass
class _SlowBefore:
    """A gateway most of whose calls were slow, and which has none now."""

    address: str = ""
    scrapes: int = 0
    scraped: asyncio.Event = field(default_factory=asyncio.Event)

    def http_addresses(self) -> list[str]:
        return [self.address]

    async def answer(self, _request: web.Request) -> web.Response:
        self.scrapes += 1
        if self.scrapes == _SCRAPES:
            self.scraped.set()
        return web.Response(text=_METRICS)


async def test_calls_of_before_a_drill_raise_nothing(
    prometheus: Path, promtool: Path, pushgateway_url: str, tmp_path: Path
) -> None:
    assert (prometheus.name, promtool.name, bool(pushgateway_url)) == ("prometheus", "promtool", True)
    gateway: Any = _SlowBefore()
    app = web.Application()
    app.router.add_get("/metrics", gateway.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gateway.address = "{}:{}".format(*runner.addresses[0])
        watch = AlertWatch(tmp_path, calls_per_s=100.0)
        async with asyncio.timeout(_BOUND_S), watch(gateway):
            await gateway.scraped.wait()
    finally:
        await runner.cleanup()
    assert watch.fired == set()
