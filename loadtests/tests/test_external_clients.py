"""What clients of other languages say of their calls."""

import asyncio
import os
import shutil
from pathlib import Path

import psutil
import pytest
from gateway_fakes import gateway_settings, running_feature_server, written_contract
from gateway_process import gateway_process
from streamflow_loadtests.bench.go_caller import GoCaller, go_load
from streamflow_loadtests.bench.h2load import COMMAND, H2load, faults
from streamflow_loadtests.bench.load import Window
from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.gateway_api import GatewayGrpc
from streamflow_local.debian import unpacked
from streamflow_local.layout import Layout

_GO = (
    "gw         c=64       2034 calls/s  p50   27.37 p95   52.10 p99   80.45 p99.9  101.02 ms  "
    "server 0.000 caller 0.071 CPU ms/call  errors map[{errors}]\n"
)
_H2LOAD = """finished in 2.00s, 2.00 req/s, 10.00KB/s
requests: 3 total, 3 started, 2 done, 2 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 2 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.20KB (1228) total, 210B (210) headers (space savings 74.21%), {data}B ({data}) data
                     min         max         mean         sd        +/- sd
"""
_ROWS = [["1600000000000000", "200", "310"], ["1600000000000400", "200", "290"]]


def test_the_go_callers_line_is_read() -> None:
    load = go_load(_GO.format(errors=""), duration_s=2.5)
    assert (load.calls, load.calls_per_s, load.p50_ms, load.p99_ms, load.p999_ms) == (5085, 2034, 27.37, 80.45, 101.02)
    assert load.failures == []
    assert load.max_ms is None


def test_go_callers_of_two_servers_have_each_its_own_users(tmp_path: Path) -> None:
    GoCaller("gw", 1, {"one": {}, "another": {}}, tmp_path)
    GoCaller("gw", 2, {"alone": {}}, tmp_path)
    written = [path.read_text(encoding="utf-8").split() for path in sorted(tmp_path.iterdir())]
    assert written == [["one", "another"], ["alone"]]


@pytest.mark.parametrize("said", [_GO.format(errors="Unavailable:3"), "panic: no such arm", _GO.replace("2034", "0")])
def test_failed_calls_of_the_go_caller_void_the_measurement(said: str) -> None:
    assert go_load(said, duration_s=2.5).failures


def test_a_percentile_of_so_few_calls_of_the_go_caller_that_it_is_the_longest_is_left_out() -> None:
    load = go_load(_GO.format(errors="").replace("2034", "36"), duration_s=2.5)
    assert (load.calls, load.p99_ms, load.p999_ms) == (90, None, None)


def test_h2loads_replies_are_held_to_their_size() -> None:
    right = _H2LOAD.format(failed=0, data=800)
    assert faults(right, _ROWS, reply_bytes=400) == []
    # The last reply has begun.
    assert faults(_H2LOAD.format(failed=0, data=1100), _ROWS, reply_bytes=400) == []
    assert "would not be 0 bytes" in faults(_H2LOAD.format(failed=0, data=0), _ROWS, reply_bytes=400)[0]


def test_failed_calls_of_h2load_void_the_measurement() -> None:
    right = _H2LOAD.format(failed=0, data=800)
    assert faults(_H2LOAD.format(failed=1, data=800), _ROWS, reply_bytes=400)
    assert faults(right, [*_ROWS, ["1600000000000900", "-1", "10"]], reply_bytes=400)
    assert faults("h2load: no such option", [], reply_bytes=400)


@pytest.fixture
def h2load_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """h2load on the PATH: the machine's, or else Debian's."""
    if shutil.which(COMMAND):
        return
    root = unpacked("nghttp2-client", kept=Layout.of_environment({}).state / "debian", with_missing=True)
    if root is None:
        pytest.skip("h2load is not installed, and Debian's packages can't be fetched")
    monkeypatch.setenv("PATH", f"{root / 'usr/bin'}:{os.environ['PATH']}")
    libraries = [str(folder) for folder in root.glob("usr/lib/*-linux-gnu")]
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(libraries))


@pytest.mark.slow
@pytest.mark.usefixtures("h2load_on_path")
async def test_h2loads_processes_load_a_gateway_together_and_last_as_long_as_the_measurement(tmp_path: Path) -> None:
    async with (
        running_feature_server() as feature_server,
        gateway_process(gateway_settings(feature_server, written_contract(tmp_path))) as gateway,
    ):
        port = int(gateway.grpc.rpartition(":")[2])
        users = [f"{number:04}-ABCDE" for number in range(100)]
        load = H2load(port, GatewayGrpc(feature_service="churn_v1").request, users, tmp_path, is_grpc=True)
        window = Window(watched={"gateway": psutil.Process(gateway.process.pid)})
        async with asyncio.timeout(120):
            found = await load.run(
                Workload(users=1, callers=32, apart=True), window, warm_up_s=0.1, duration_s=1.0, seed=1
            )
    assert found.failures == []
    assert found.calls > 0
    asked = {user_id for request in feature_server.requests for user_id in request["entities"]["user_id"]}
    assert set(users[32:64]) <= asked
