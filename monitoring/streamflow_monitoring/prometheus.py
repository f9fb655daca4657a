"""Prometheus: asked over HTTP, and started for a while."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from streamflow_loadtests.bed.servers import Servers
from streamflow_local import ports
from streamflow_local.process import ProcessSpec

_START_TIMEOUT_S = 240
_POLL_S = 0.05
# More than a run takes.
_KEPT = "15d"


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels and its newest value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Prometheus:
    """What a running Prometheus says."""

    session: aiohttp.ClientSession

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the API. Raises ValueError with what Prometheus says is wrong."""
        async with self.session.get(f"/api/v1/{path}", params=parameters) as response:
            answer = json.loads(await response.text())
        if answer["status"] != "success":
            raise ValueError(f"{answer.get('error')} in {parameters or path}")
        return answer["data"]

    async def rules(self) -> list[dict[str, Any]]:
        """Return the rules of all groups."""
        return [rule for group in (await self.get("rules"))["groups"] for rule in group["rules"]]

    async def alerts(self) -> dict[str, str]:
        """Return the state of each alert that is pending or fires."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in (await self.get("alerts"))["alerts"]}

    async def fired(self, *, within: str) -> set[str]:
        """Return the alerts that fired at any time of the last `within`, such as "10m"."""
        found = await self.query(f'max by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{within}]))')
        return {series.labels["alertname"] for series in found}

    async def query(self, expression: str) -> list[Series]:
        """Return the series of a query that gives a vector or a scalar."""
        data = await self.get("query", query=expression)
        if data["resultType"] == "scalar":
            return [Series({}, float(data["result"][1]))]
        return [Series(series["metric"], float(series["value"][1])) for series in data["result"]]

    async def value(self, expression: str) -> float:
        """Return the value of a query that has one sample; NaN of none."""
        found = await self.query(expression)
        return found[0].value if found else float("nan")


def scraped(job: str, *targets: str, **options: Any) -> dict[str, Any]:
    """Return what Prometheus scrapes of one job."""
    return {"job_name": job, "static_configs": [{"targets": list(targets)}], **options}


@asynccontextmanager
async def scraping(
    program: Path,
    folder: Path,
    *,
    scrapes: Sequence[Mapping[str, Any]],
    rule_files: Sequence[Path],
    interval_ms: int = 1000,
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus on a free port for the length of the block; `folder` has its data and its log.

    It scrapes and evaluates every `interval_ms`. Raises TimeoutError if it does not start.
    """
    interval = f"{interval_ms}ms"
    configuration = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "rule_files": [str(file) for file in rule_files],
        "scrape_configs": list(scrapes),
    }
    file, port = folder / "prometheus.yml", ports.free_port()
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    options = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={_KEPT}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with Servers(folder) as servers:
        servers.start(ProcessSpec(name="prometheus", command=(str(program), *options), port=port))
        async with asking(f"http://127.0.0.1:{port}") as prometheus:
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    while not await _ready(prometheus.session):  # noqa: ASYNC110  # nothing tells
                        await asyncio.sleep(_POLL_S)
            except TimeoutError as error:
                raise TimeoutError(f"Prometheus did not start: {servers.log_end('prometheus')}") from error
            yield prometheus


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Prometheus]:
    """Yield a Prometheus that runs."""
    async with aiohttp.ClientSession(url) as session:
        yield Prometheus(session)


async def _ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/-/ready") as response:
            return response.status == HTTPStatus.OK
    except aiohttp.ClientConnectionError:
        return False
