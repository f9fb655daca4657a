"""locust, run as `make load` runs it, on a real gateway before a feature server that answers as a test says."""

import asyncio
import csv
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import web
from feast.infra.online_stores.helpers import _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from gateway_fakes import (
    NEVER_WRITTEN,
    FakeFeatureServer,
    feast_answer,
    gateway_settings,
    running_feature_server,
    written_contract,
)
from gateway_process import gateway_process
from streamflow_loadtests.load.scenarios import SCENARIOS
from streamflow_local import ports

_LOAD = str(Path(sys.executable).parent / "load")
_TIMEOUT_S = 120
_USERS = [f"{number:04}-ABCDE" for number in range(50)]
# What the machine is busy with is not what these tests are about.
_PATIENT = ("--max-p99-ms", "60000", "--timeout-ms", "10000")


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    code: int
    text: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        found = json.loads((self.folder / "summary.json").read_text())
        assert isinstance(found, dict)
        return found

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.summary["rows"]}


class Load:
    """`load`, with the environment that `make load` gives it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder / "load"
        # Locust leaves its CSV files open when a run ends before it begins.
        warnings = "error,ignore::ResourceWarning"
        self.environment = {**os.environ, **environment, "STREAMFLOW_STATE": str(folder), "PYTHONWARNINGS": warnings}

    async def start(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            _LOAD, *arguments, env=self.environment, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=STDOUT
        )

    async def end(self, process: Process) -> Ended:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, output.decode(), self.folder)

    async def run(self, *arguments: str) -> Ended:
        ended = await self.end(await self.start(*arguments))
        assert "Traceback" not in ended.text, ended.text
        assert "Warning" not in ended.text, ended.text
        return ended


@pytest.fixture
def stored_users(redis_url: str) -> Iterator[str]:
    """The URL of an online store that has the users."""
    url = f"{redis_url}/9"
    with redis.Redis.from_url(url) as client:
        for user_id in _USERS:
            key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
            client.hset(_redis_key("streamflow", key, 3), "feature", "value")
        yield url
        client.flushdb()


@pytest.fixture
async def feature_server() -> AsyncIterator[FakeFeatureServer]:
    async with running_feature_server() as running:
        running.answer = _answer
        yield running


async def _answer(request: web.Request) -> web.Response:
    """Answer as Feast does, for the users that the store has, and with nothing for all others."""
    body = await request.json()
    answer = feast_answer(body)
    unknown = [row for row, user_id in enumerate(body["entities"]["user_id"]) if user_id not in _USERS]
    for name, column in zip(answer["metadata"]["feature_names"], answer["results"], strict=True):
        for row in unknown if name != "user_id" else ():
            column["values"][row], column["event_timestamps"][row] = None, NEVER_WRITTEN
    return web.json_response(answer)


@pytest.fixture
async def load(tmp_path: Path, feature_server: FakeFeatureServer, stored_users: str) -> AsyncIterator[Load]:
    async with gateway_process(gateway_settings(feature_server, written_contract(tmp_path))) as gateway:
        yield Load(
            tmp_path,
            {
                "REDIS_URL": stored_users,
                "GATEWAY_GRPC_PORT": gateway.grpc.split(":")[1],
                "GATEWAY_HTTP_PORT": gateway.http.split(":")[1],
                "LOAD_FEAST_HTTP": feature_server.url,
            },
        )


async def test_all_three_targets_are_asked_for_the_stores_users_at_the_rate_and_the_reports_are_written(
    load: Load, feature_server: FakeFeatureServer
) -> None:
    ended = await load.run("--scenario", "mixed", "--rate", "60", "--run-time", "3", *_PATIENT)
    assert ended.code == 0, ended.text
    assert "passed: at most 0.10% failed" in ended.text
    assert "late by more than 10 ms" in ended.text
    assert {f"{target}: 1 user" for target in ("gateway gRPC", "gateway HTTP", "feast serve")} <= set(ended.rows)
    assert {"gateway gRPC: 10 users", "feast serve: 10 users"} <= set(ended.rows)
    assert 40 < sum(row["calls_per_s"] for row in ended.rows.values()) < 75
    assert not any(row["failed"] for row in ended.rows.values())
    asked = {user_id for request in feature_server.requests for user_id in request["entities"]["user_id"]}
    assert len(asked & set(_USERS)) > 40
    assert asked - set(_USERS)
    with (ended.folder / "load_stats.csv").open() as file:
        counted = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counted["Aggregated"] == sum(row["calls"] for row in ended.rows.values())
    assert "gateway gRPC: 1 user" in (ended.folder / "report.html").read_text()
    assert (ended.folder / "latency.png").read_bytes().startswith(b"\x89PNG")


async def test_failed_and_slow_calls_make_a_closed_loop_fail_and_are_named(
    load: Load, feature_server: FakeFeatureServer
) -> None:
    async def falter(request: web.Request) -> web.StreamResponse:
        # Not the first ones, by which the run finds out that there is somebody to ask.
        return web.Response(status=503) if len(feature_server.requests) > 40 else await _answer(request)

    feature_server.answer = falter
    ended = await load.run("--scenario", "single", "--run-time", "1", "--users", "6", "--max-p99-ms", "0.01")
    assert ended.code == 1, ended.text
    for name in ("gateway gRPC: 1 user", "gateway HTTP: 1 user", "feast serve: 1 user"):
        assert f"FAILED: error rate of {name} is " in ended.text
        assert f"FAILED: p99 of {name} is " in ended.text
    assert "passed" not in ended.text
    assert "UNAVAILABLE" in ended.rows["gateway gRPC: 1 user"]["failed"]
    assert "HTTP 503 UNAVAILABLE" in ended.rows["gateway HTTP: 1 user"]["failed"]
    assert "HTTP 503" in ended.rows["feast serve: 1 user"]["failed"]
    assert "UNAVAILABLE" in (ended.folder / "load_failures.csv").read_text()


async def test_a_rate_that_the_generator_cannot_keep_is_reported_and_fails(load: Load) -> None:
    arguments = ("--scenario", "single", "--targets", "gateway-http", "--rate", "50000", "--run-time", "1")
    ended = await load.run(*arguments, "--max-error-rate", "1", "--max-p99-ms", "60000")
    assert ended.code == 1, ended.text
    assert "FAILED: the generator did not keep its rate: it began " in ended.text
    assert "FAILED: p99" not in ended.text
    assert "generator: more than 1 % of the calls began 10 ms late" in ended.text
    assert "the load generator was late" in (ended.folder / "report.html").read_text()


@pytest.mark.slow
async def test_two_workers_share_the_rate_and_the_users_that_their_master_read(load: Load) -> None:
    port = str(ports.free_port())
    arguments = ("--scenario", "single", "--targets", "gateway-grpc,feast-http", "--rate", "60", "--run-time", "2")
    master = await load.start("--master", "--master-bind-port", port, "--expect-workers", "2", *arguments, *_PATIENT)
    # A worker is given neither the store nor an option.
    worker_load = Load(load.folder.parent, {"REDIS_URL": "", "LOAD_FEAST_HTTP": ""})
    workers = [await worker_load.start("--worker", "--master-port", port) for _ in range(2)]
    ended, *worked = await asyncio.gather(load.end(master), *map(worker_load.end, workers))
    assert ended.code == 0, ended.text
    assert [worker.code for worker in worked] == [0, 0], [worker.text for worker in worked]
    assert set(ended.rows) == {"gateway gRPC: 1 user", "feast serve: 1 user"}
    for row in ended.rows.values():
        assert 15 < row["calls_per_s"] < 45
    with (ended.folder / "load_stats.csv").open() as file:
        counted = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counted["Aggregated"] == sum(row["calls"] for row in ended.rows.values())


async def test_nothing_to_ask_is_said_in_one_line(load: Load, tmp_path: Path) -> None:
    nowhere = Load(tmp_path, {**load.environment, "GATEWAY_GRPC_PORT": str(ports.free_port())})
    batch = ("--scenario", "batch", "--targets", "gateway-http")
    runs = await asyncio.gather(load.run(*batch), nowhere.run())
    assert [ended.code for ended in runs] == [1, 1]
    assert runs[0].text.endswith("no load: none of gateway-http has a call for the scenario batch\n")
    assert "does not answer (UNAVAILABLE); `make up` starts a stack\n" in runs[1].text


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_run_that_is_ended_early_reports_what_it_has_seen(
    load: Load, feature_server: FakeFeatureServer, how: signal.Signals
) -> None:
    under_load = asyncio.Event()

    async def tell(request: web.Request) -> web.StreamResponse:
        if len(feature_server.requests) > 100:
            under_load.set()
        return await _answer(request)

    feature_server.answer = tell
    process = await load.start("--scenario", "soak", "--rate", "50", *_PATIENT)
    async with asyncio.timeout(_TIMEOUT_S):
        await under_load.wait()
    process.send_signal(how)
    ended = await load.end(process)
    assert ended.code == 0, ended.text
    assert "passed: " in ended.text
    assert sum(row["calls"] for row in ended.rows.values()) >= 50
    assert "gateway gRPC: 1 user" in (ended.folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("rate", ["0", "50"])
async def test_every_scenario_runs_in_either_loop(load: Load, scenario: str, rate: str) -> None:
    ended = await load.run("--scenario", scenario, "--rate", rate, "--run-time", "5", *_PATIENT)
    assert ended.code == 0, ended.text
    kinds = {name.partition(": ")[2] for name in ended.rows}
    assert kinds <= {"1 user", "1 hot user", "1 unknown user", "10 users"}
    assert f"scenario {scenario} " in ended.text
