"""locust, run as `make load` runs it, on a real gateway before a feature server that answers as a test says."""

import asyncio
import csv
import json
import signal
from pathlib import Path

import pytest
from aiohttp import web
from gateway_fakes import FakeFeatureServer
from hostile_urls import leaks, some
from load_runs import PATIENT, RUN_TIMEOUT_S, STORED_USERS, Load, answer
from streamflow_loadtests.load.scenarios import SCENARIOS
from streamflow_local import ports


@pytest.mark.slow
async def test_the_targets_are_asked_one_after_another_at_one_rate_and_up_to_what_each_holds(
    load: Load, feature_server: FakeFeatureServer
) -> None:
    ended = await load.run("--rate", "30", "--run-time", "2", "--step-time", "1", "--most", "60", *PATIENT)
    assert ended.code == 0, ended.text
    assert "late by more than 10 ms" in ended.text
    kinds = ["gateway gRPC: 1 user", "gateway HTTP: 1 user", "feast serve: 1 user"]
    assert set(ended.rows) == set(kinds)
    for row in ended.rows.values():
        assert 15 < row["calls_per_s"] < 40
        assert not row["failed"]
    found = json.loads((ended.folder / "compare.json").read_text())
    assert [each["name"] for each in found["targets"]] == kinds
    assert all(each["locust_cpu_ms"] > 0 and each["held"]["calls_per_s"] >= 30 for each in found["targets"])
    assert 0 < found["targets"][0]["in_gateway_ms"] < found["targets"][0]["p99_ms"]
    # A line about locust follows where locust was the limit.
    lines = [line for line in ended.text.splitlines() if not line.startswith("Where it says ≥")]
    assert "Within the limits each holds: gateway gRPC: 1 user" in lines[-1]
    assert (ended.folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    asked = {user_id for request in feature_server.requests for user_id in request["entities"]["user_id"]}
    assert len(asked & set(STORED_USERS)) > 40


async def test_one_target_is_asked_for_the_stores_users_at_the_rate_and_the_reports_are_written(
    load: Load, feature_server: FakeFeatureServer
) -> None:
    ended = await load.run("--targets", "gateway-grpc", "--rate", "60", "--run-time", "3", *PATIENT)
    assert ended.code == 0, ended.text
    assert "passed: at most 0.10% failed" in ended.text
    assert {"gateway gRPC: 1 user", "gateway gRPC: 10 users"} <= set(ended.rows)
    assert 40 < sum(row["calls_per_s"] for row in ended.rows.values()) < 75
    asked = {user_id for request in feature_server.requests for user_id in request["entities"]["user_id"]}
    assert asked - set(STORED_USERS)
    with (ended.folder / "load_stats.csv").open() as file:
        counted = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counted["Aggregated"] == sum(row["calls"] for row in ended.rows.values())
    assert "gateway gRPC: 1 user" in (ended.folder / "report.html").read_text()
    assert (ended.folder / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
async def test_failed_and_slow_calls_make_a_closed_loop_fail_and_are_named(
    load: Load, feature_server: FakeFeatureServer
) -> None:
    async def falter(request: web.Request) -> web.StreamResponse:
        # Not for the first user, by whom a run finds out that there is somebody to ask.
        asked = (await request.json())["entities"]["user_id"]
        return web.Response(status=503) if any(user_id < "0025" for user_id in asked) else await answer(request)

    feature_server.answer = falter
    ended = await load.run("--rate", "0", "--run-time", "1", "--users", "6", "--max-p99-ms", "0.01")
    assert ended.code == 1, ended.text
    for name in ("gateway gRPC: 1 user", "gateway HTTP: 1 user", "feast serve: 1 user"):
        assert f"FAILED: error rate of {name} is " in ended.text
        assert f"FAILED: p99 of {name} is " in ended.text
    assert "UNAVAILABLE" in ended.rows["gateway gRPC: 1 user"]["failed"]
    assert "HTTP 503 UNAVAILABLE" in ended.rows["gateway HTTP: 1 user"]["failed"]
    assert "HTTP 503" in ended.rows["feast serve: 1 user"]["failed"]
    assert "UNAVAILABLE" in (ended.folder / "gateway-grpc" / "load_failures.csv").read_text()


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
    master = await load.start("--master", "--master-bind-port", port, "--expect-workers", "2", *arguments, *PATIENT)
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
    nothing = Load(tmp_path, {**load.environment, "GATEWAY_HTTP_PORT": str(ports.free_port())})
    runs = await asyncio.gather(load.run(*batch), nowhere.run("--targets", "gateway-grpc"), nothing.run())
    assert [ended.code for ended in runs] == [1, 1, 1]
    assert "no load: the gateway at http://127.0.0.1:" in runs[2].text
    assert runs[0].text.endswith("no load: none of gateway-http has a call for the scenario batch\n")
    assert "does not answer (UNAVAILABLE); `make up` starts a stack\n" in runs[1].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "target"),
    [("REDIS_URL", "gateway-grpc"), ("LOAD_FEAST_HTTP", "feast-http"), ("LOAD_GATEWAY_HTTP", "gateway-http")],
)
async def test_no_password_of_a_url_is_told(load: Load, tmp_path: Path, variable: str, target: str) -> None:
    urls = some("REDIS_URL" if variable == "REDIS_URL" else "URL")
    runs = [Load(tmp_path, {**load.environment, variable: url}).run("--targets", target) for url in urls]
    for ended in await asyncio.gather(*runs):
        assert ended.code != 0
        assert leaks(ended.text) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_run_that_is_ended_early_reports_what_it_has_seen(
    load: Load, feature_server: FakeFeatureServer, how: signal.Signals
) -> None:
    under_load = asyncio.Event()

    async def tell(request: web.Request) -> web.StreamResponse:
        if len(feature_server.requests) > 100:
            under_load.set()
        return await answer(request)

    feature_server.answer = tell
    process = await load.start("--scenario", "soak", "--targets", "gateway-grpc", "--rate", "50", *PATIENT)
    async with asyncio.timeout(RUN_TIMEOUT_S):
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
    arguments = ("--targets", "gateway-grpc", "--scenario", scenario, "--rate", rate, "--run-time", "5")
    ended = await load.run(*arguments, *PATIENT)
    assert ended.code == 0, ended.text
    kinds = {name.partition(": ")[2] for name in ended.rows}
    assert kinds <= {"1 user", "1 hot user", "1 unknown user", "10 users"}
    assert f"scenario {scenario} " in ended.text
