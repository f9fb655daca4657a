"""What a run's figures look like in the tables and in the files."""

import json
from dataclasses import replace
from pathlib import Path

from html_pages import read_page
from streamflow_loadtests.bench import files as report
from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.clients import CLIENTS
from streamflow_loadtests.bench.figures import Cell
from streamflow_loadtests.bench.in_process import Tasks
from streamflow_loadtests.bench.page import bench_page
from streamflow_loadtests.bench.plan import DEFAULT, named_by_targets
from streamflow_loadtests.bench.plot import draw
from streamflow_loadtests.bench.result import Result, conditions
from streamflow_loadtests.bench.server import Kind, Role, Server
from streamflow_loadtests.bench.servers import shortest
from streamflow_loadtests.bench.tables import tables
from streamflow_loadtests.bench.targets import TARGETS
from streamflow_loadtests.bench.workloads import BenchSettings, Workload, crossed
from streamflow_loadtests.callers.grpc_stubs import GatewayStub
from streamflow_loadtests.measuring.machine import Machine

_ARMS = ("stock", "gateway", "echo")
_WORKLOADS = [Workload(users=1, callers=1), Workload(users=1, callers=64), Workload(users=100, callers=1)]
_CELL = Cell(
    arm="gateway",
    workload=_WORKLOADS[0],
    round=0,
    calls=1000,
    calls_per_s=100.0,
    p50_ms=1.0,
    p99_ms=2.0,
    p999_ms=None,
    max_ms=4.0,
    resends=1,
    cpu_s_per_1000={"gateway": 0.5, "feature-server": 0.3, "valkey": 0.1},
    role_cpu_s_per_1000={Role.GATEWAY: 0.5, Role.FEATURE_SERVER: 0.3, Role.STORE: 0.1},
    client_cpu_s_per_1000=0.1,
    client_share=0.1,
    others_cores=0.25,
    stolen_cores=0.0,
)


def _cells() -> list[Cell]:
    cells = [
        replace(_CELL, workload=workload, round=number, calls_per_s=(100.0 + number) * workload.callers)
        for workload in _WORKLOADS
        for number in range(3)
    ]
    cells += [replace(cell, arm="stock", calls_per_s=cell.calls_per_s / 50) for cell in cells]
    # It knows one user, so it is not asked for more.
    return cells + [replace(cell, arm="echo") for cell in cells if cell.arm == "gateway" and cell.workload.users == 1]


def _result() -> Result:
    server = Server(what="a server", kind=Kind.GATEWAY, port=1, roles={}, answers={"u1": {}})
    return Result(
        settings=BenchSettings(arms=dict.fromkeys(_ARMS, _WORKLOADS), rounds=3, duration_s=2.0, warm_up_s=0.3, seed=0),
        machine=replace(Machine.here(), cores=2, processor="A Processor"),
        arms=[
            Arm(
                name=name,
                what=f"what {name} is",
                server=server,
                client=CLIENTS["client"],
                loader=Tasks(lambda: GatewayStub(1), server.answers),
            )
            for name in _ARMS
        ],
        cells=_cells(),
        skipped={"feast-go": "it is not here"},
    )


def test_every_arm_under_every_workload_has_a_row_and_the_gateway_its_ratios_and_targets() -> None:
    latency, cpu, ratios, targets = tables(_result())
    assert latency.header[:5] == ["users a call", "callers", "arm", "calls a round", "vectors/s"]
    assert [row[:3] for row in latency.rows] == [
        *(["1", "1", arm] for arm in _ARMS),
        *(["1", "64", arm] for arm in _ARMS),
        *(["100", "1", arm] for arm in ("stock", "gateway")),
    ]
    assert latency.rows[-1] == [
        *("100", "1", "gateway", "1,000", "10,100", "101 (100 to 102)", "1.00 (1.00 to 1.00)", "2.00 (2.00 to 2.00)"),
        *("-", "4.00 (4.00 to 4.00)"),
    ]
    assert cpu.header[3:] == [
        *("feature server", "gateway", "Valkey", "all servers"),
        "load client",
        "load client's share",
    ]
    assert cpu.rows[-1][3:] == [
        *("0.30 (0.30 to 0.30)", "0.50 (0.50 to 0.50)", "0.10 (0.10 to 0.10)", "0.90 (0.90 to 0.90)"),
        *("0.10 (0.10 to 0.10)", "10%"),
    ]
    assert [row[2] for row in ratios.rows] == [*["gateway / stock", "gateway / echo"] * 2, "gateway / stock"]
    assert ratios.rows[0][3] == "50.0 (50.0 to 50.0)"
    assert {row[-1] for row in targets.rows} == {"yes", "no", "not measured"}
    assert targets.rows[0] == [
        *("throughput", "gateway", "64 callers, 1 user a call", "stock", "≥ 40", "50.0 (50.0 to 50.0)", "yes"),
    ]


def test_arms_that_differ_in_one_part_are_compared() -> None:
    cells = [replace(_CELL, arm="gateway-stock"), replace(_CELL, arm="stock", calls_per_s=10.0)]
    parts = next(table for table in tables(replace(_result(), cells=cells)) if table.header[0] == "part")
    [row] = parts.rows
    assert row[:4] == ["the gateway in front of a stock feature server", "1", "1", "gateway-stock / stock"]
    assert row[4] == "10.0 (10.0 to 10.0)"


def test_the_conditions_tell_of_the_machine_and_of_the_load_client() -> None:
    told = "\n".join(conditions(_result()))
    machine = Machine.here()
    assert f"2 cores of A Processor, {machine.memory_gb:g} GB, {machine.system}" in told
    assert all(f"{name} {machine.versions[name]}" in told for name in ("Python", "Valkey", "feast", "grpcio"))
    assert "other processes kept 0.25 cores busy meanwhile, at most 0.25" in told
    assert "the load client took 10% of the benchmark's CPU time (10% to 10%)" in told
    assert "24,000 replies with 618,000 feature vectors" in told
    assert "feast-go was left out: it is not here" in told


def test_the_files_hold_the_report_the_figures_and_the_plot(tmp_path: Path) -> None:
    report.write(_result(), tmp_path / "new")
    text = (tmp_path / "new" / "bench.md").read_text()
    assert "| 1 | 64 | gateway / stock | 50.0 (50.0 to 50.0) |" in text
    assert "![Throughput, latency and CPU time](bench.svg)" in text
    assert "| stock | what stock is |" in text
    found = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert found["cells"][0].items() >= {"arm": "gateway", "users": 1, "callers": 1, "round": 0, "errors": 0}.items()
    assert found["cells"][0]["role_cpu_s_per_1000"] == {"gateway": 0.5, "feature server": 0.3, "Valkey": 0.1}
    assert found["spreads"][0].items() >= {"arm": "stock", "users": 1, "callers": 1, "p999_ms": None}.items()
    [ratio] = [each for each in found["ratios"] if (each["to"], each["callers"]) == ("stock", 64)]
    assert ratio["calls_per_s"] == {"rounds": [50.0, 50.0, 50.0], "median": 50.0, "low": 50.0, "high": 50.0}
    assert [each["reached"] for each in found["targets"]].count(True) == 1
    plot = (tmp_path / "new" / "bench.svg").read_text()
    assert plot.startswith("<?xml")
    assert plot.rstrip().endswith("</svg>")


def test_the_plot_can_be_a_picture_too(tmp_path: Path) -> None:
    draw(_result(), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_whole_run_and_a_quick_one_measure_what_the_targets_name() -> None:
    for plan in (DEFAULT, named_by_targets()):
        for target in TARGETS:
            for arm in map(shortest, (target.of, target.against)):
                assert target.workload in plan[arm], (target, arm)


def test_numbers_of_users_and_callers_are_crossed() -> None:
    assert [str(each) for each in crossed(users=[10, 1], callers=[4])] == [
        "4 callers, 1 user a call",
        "4 callers, 10 users a call",
    ]
    assert [each.callers for each in crossed(users=[100], callers=[])] == [1, 16, 64, 256]
    assert [(each.users, each.callers) for each in crossed(users=[], callers=[2])] == [(1, 2)]


def test_the_page_has_the_tables_and_a_plot_of_each_figure_against_callers() -> None:
    result = _result()
    page = read_page(bench_page(result))
    for table in tables(result):
        assert table.title.lower() in page.text.lower()
        for cell in (*table.header, *(cell for row in table.rows for cell in row)):
            assert cell in page.text
    for line in conditions(result):
        assert line in page.text
    # One user a call has several numbers of callers, 100 users a call one.
    assert len(page.pictures) == 3
    assert all("stock" in picture and "gateway" in picture for picture in page.pictures)
