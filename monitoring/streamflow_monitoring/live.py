"""A stack of its own with all that the dashboards show, and a Prometheus that scrapes it."""

import asyncio
import json
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from feast_contract import contract_hash, contract_text
from streamflow_loadtests.bed.bed import GATEWAY, Bed, stack_bed
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.grpc_stubs import GatewayStub
from streamflow_loadtests.drill.faults import jobs

from streamflow_monitoring.dashboard_queries import PanelQuery
from streamflow_monitoring.programs import PROMETHEUS, program, pushgateway
from streamflow_monitoring.prometheus import Prometheus, Series, scraped, scraping
from streamflow_monitoring.rules import RULE_FILES

_TIMEOUT_S = 240
_POLL_S = 0.5
_CALLS_AT_A_TIME = 20
_MAX_AGE_S = 100 * 366 * 86_400
_UNKNOWN_USER = "nobody"
_SCRAPES = "min(count_over_time(gateway_ready[10m]))"
_A_MINUTE_OF_SCRAPES = 60


@asynccontextmanager
async def watched(bed: Bed, folder: Path) -> AsyncIterator[Prometheus]:
    """Yield a Prometheus that scrapes the bed's gateway and a Pushgateway with the results of jobs.

    While the block lasts, calls of all kinds are made, and some of them fail.
    """
    async with pushgateway(folder) as pushgateway_url:
        await _run_jobs(bed)
        _give_a_maximum_age(bed)
        scrapes = [
            scraped("gateway", bed.http_address()),
            scraped("pushgateway", pushgateway_url.removeprefix("http://"), honor_labels=True),
        ]
        async with scraping(program(PROMETHEUS), folder, scrapes=scrapes, rule_files=RULE_FILES) as prometheus:
            calling = asyncio.create_task(_call(bed))
            try:
                yield prometheus
            finally:
                calling.cancel()
                with suppress(asyncio.CancelledError):
                    await calling


def results_of_a_stack(
    queries: Iterable[PanelQuery], *, say: Callable[[str], None]
) -> list[tuple[PanelQuery, list[Series]]]:
    """Start a stack and Prometheus, and return what each query gives once all give something.

    Raises TimeoutError with the queries that gave nothing in four minutes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="streamflow-monitoring-", ignore_cleanup_errors=True) as work,
        stack_bed(months=None, work=Path(work), say=say) as bed,
    ):
        return asyncio.run(_results(bed, list(queries), say=say))


async def _results(
    bed: Bed, queries: list[PanelQuery], *, say: Callable[[str], None]
) -> list[tuple[PanelQuery, list[Series]]]:
    async with bed.asking():
        pass
    say("running jobs, making calls, and waiting for Prometheus")
    folder = bed.work / "prometheus"
    folder.mkdir()
    async with watched(bed, folder) as prometheus:
        return await with_data(prometheus, queries)


async def with_data(prometheus: Prometheus, queries: list[PanelQuery]) -> list[tuple[PanelQuery, list[Series]]]:
    """Return what each query gives, once each gives a number, and rates are of a whole minute.

    Raises TimeoutError with the queries that give none.
    """
    missing = queries
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while missing := [  # noqa: ASYNC110  # nothing tells
                query for query in missing if not _numbers(await prometheus.query(query.asked()))
            ]:
                await asyncio.sleep(_POLL_S)
            while await prometheus.value(_SCRAPES) < _A_MINUTE_OF_SCRAPES:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        names = "\n".join(f"{query.dashboard}: {query.panel}: {query.expression}" for query in missing)
        raise TimeoutError(f"no data after {_TIMEOUT_S} s for\n{names}") from error
    return [(query, _numbers(await prometheus.query(query.asked()))) for query in queries]


def _numbers(found: list[Series]) -> list[Series]:
    """Return the series that have a number: a quantile of nothing is not one."""
    return [series for series in found if not math.isnan(series.value)]


async def _run_jobs(bed: Bed) -> None:
    await jobs.materialize(bed)
    grpc_address = f"127.0.0.1:{bed.servers.port(GATEWAY)}"
    await jobs.offline(bed, "audit-skew", "--users", "100", "--gateway", grpc_address)


def _give_a_maximum_age(bed: Bed) -> None:
    """Put a contract into place whose first view has a maximum age: StreamFlow's own views have none."""
    content = json.loads(bed.contract.read_text(encoding="utf-8"))
    view = content["feature_views"][0]
    view["max_age_s"] = _MAX_AGE_S
    for service in content["feature_services"]:
        for feature in service["features"]:
            if feature["view"] == view["name"]:
                feature["max_age_s"] = _MAX_AGE_S
    del content["hash"]
    new = bed.contract.with_suffix(".new")
    new.write_text(contract_text({**content, "hash": contract_hash(content)}), encoding="utf-8")
    new.replace(bed.contract)


async def _call(bed: Bed) -> None:
    """Make calls of all kinds until it is cancelled: for one and for several users, over HTTP, and wrong ones."""
    users = list(bed.dataset.answers)[:_CALLS_AT_A_TIME]
    wrong = GatewayStub(bed.servers.port(GATEWAY), feature_service="no_such_service")
    http = f"http://{bed.http_address()}/features/{users[0]}"
    async with bed.asking() as caller, aiohttp.ClientSession() as session:
        try:
            while True:
                await asyncio.gather(
                    *(_asked(caller, [user]) for user in users),
                    _asked(caller, users),
                    _asked(caller, [_UNKNOWN_USER]),
                    _asked(wrong, [users[0]]),
                )
                async with session.get(http):
                    pass
                await asyncio.sleep(_POLL_S)
        finally:
            await wrong.close()


async def _asked(caller: GatewayStub, users: list[str]) -> None:
    with suppress(CallError):
        await caller.ask(users)
