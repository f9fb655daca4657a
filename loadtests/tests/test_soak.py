"""What a soak makes of the calls and the memory that it saw."""

import json
import os
import subprocess
import sys
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest
from hostile_urls import environments, leaks
from html_pages import read_page
from streamflow_loadtests.callers.open_loop import OK, Call
from streamflow_loadtests.measuring.lateness import Lateness
from streamflow_loadtests.measuring.machine import Machine
from streamflow_loadtests.measuring.memory import at_times
from streamflow_loadtests.soak.page import soak_page
from streamflow_loadtests.soak.run import SoakResult, SoakSettings, Tally, result_of


def _late(*late_ms: float) -> Lateness:
    lateness = Lateness()
    for each_ms in late_ms:
        lateness.begun.add(each_ms)
    return lateness


def _result(
    tally: Tally, *, memory_mb: Mapping[str, Sequence[float]] | None = None, lateness: Lateness | None = None
) -> SoakResult:
    return result_of(
        tally,
        capacity_per_s=100.0,
        calls_per_s=60.0,
        began_s=1000.0,
        recycled=[(1010.0, "gateway-2"), (1020.0, "feature-server-2")],
        lateness=lateness or _late(*[1] * 99, 10),
        memory_mb=memory_mb or {"gateway": [100, 105, 109]},
        steady=["gateway"],
    )


def _tally(*calls: Call) -> Tally:
    tally = Tally()
    for call in calls:
        tally.note(call)
    return tally


def test_calls_that_are_answered_in_time_are_as_expected() -> None:
    result = _result(_tally(*(Call(1000 + second, 0.1, OK) for second in range(100)), Call(1012.5, 0.25, OK)))
    assert (result.calls, result.failed, result.complaints) == (101, {}, [])
    assert result.p50_ms == pytest.approx(100)
    assert len(result.longest) == 10
    assert result.longest[0].ms == pytest.approx(250)
    assert (result.longest[0].at_s, result.longest[0].after) == (12.5, "2.8 s after gateway-2")


def test_failures_a_long_call_and_growth_are_complained_of() -> None:
    tally = _tally(Call(1000, 0.1, OK), Call(1001, 0.3, OK), Call(1002, 0.1, "UNAVAILABLE"))
    result = _result(tally, memory_mb={"gateway": [100, 105, 111], "client": [100, 200, 300]})
    assert result.complaints == [
        "1 calls UNAVAILABLE",
        "the longest call took 300 ms",
        "gateway grew from 100 to 111 MB",
    ]
    assert [call.after for call in result.longest] == ["none"] * 3


def test_a_long_call_while_the_client_itself_stalled_as_long_voids_the_soak() -> None:
    tally = _tally(*(Call(1000 + second, 0.1, OK) for second in range(100)), Call(1101, 0.3, OK))
    result = _result(tally, lateness=_late(*[1] * 99, 60))
    assert (result.complaints, result.verdict) == (
        [],
        "void: the limit was exceeded by 50 ms, and the load client stalled for 60 ms",
    )
    often = _result(_tally(Call(1000, 0.1, OK)), lateness=_late(*[1] * 90, *[11] * 10))
    assert often.verdict == "void: the load client began 10 of 100 calls more than 10 ms late"
    failed = _result(_tally(Call(1000, 0.1, "UNAVAILABLE")), lateness=_late(11))
    assert failed.verdict == "1 calls UNAVAILABLE"


def test_a_tally_takes_little_memory() -> None:
    tally = _tally(*(Call(number, number / 1e6, OK) for number in range(1000)))
    assert isinstance(tally.elapsed_s, array)
    assert len(tally.longest) == 10
    assert tally.failed == Counter()


def test_memory_is_the_median_shortly_before_a_time() -> None:
    samples = [(float(second), {"gateway": 100.0 + second}) for second in range(101)]
    samples[24] = 24.0, {"gateway": 1000.0}
    assert at_times(samples, (0.25, 1.0)) == {"gateway": [122.5, 197.5]}


def test_a_process_that_is_away_counts_with_its_last_memory() -> None:
    samples = [(float(second), {"gateway-2": 50.0} if second < 10 else {"gateway": 1.0}) for second in range(101)]
    assert at_times(samples, (1.0,)) == {"gateway": [1.0], "gateway-2": [50.0]}


@pytest.mark.slow
def test_a_soak_of_the_real_stack_replaces_replicas_and_tells_of_calls_and_memory(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    arguments = ["--minutes", "0.5", "--share", "0.2", "--recycle-s", "10", "--json", str(report)]
    arguments += ["--html", str(tmp_path / "soak.html")]
    soak = [str(Path(sys.executable).parent / "soak"), *arguments]
    # A soak has stores of its own; URLs of the environment are not told either.
    environment = {**os.environ, **next(environments())}
    result = subprocess.run(soak, check=False, capture_output=True, text=True, timeout=280, env=environment)
    assert leaks(result.stdout + result.stderr) == []
    # Whether its times are met is the machine's matter; that no reply is wrong is not.
    assert result.returncode in {0, 1}, result.stdout + result.stderr
    found = json.loads(report.read_text())["soak"]
    assert found["calls"] > 100
    assert "WRONG" not in found["failed"]
    assert found["recycled"] >= 1
    assert "feature-server-1" in read_page((tmp_path / "soak.html").read_text(encoding="utf-8")).text
    assert {"gateway", "gateway-2", "feature-server-1", "valkey", "client"} <= found["memory_mb"].keys()
    assert all(megabytes > 1 for taken in found["memory_mb"].values() for megabytes in taken)
    assert not [process for process in psutil.process_iter(["cmdline"]) if "streamflow-soak-" in str(process.info)]


def test_the_page_has_the_verdict_the_longest_calls_and_the_memory() -> None:
    result = _result(_tally(Call(1015.0, 0.012, OK), Call(1016.0, 0.1, "UNAVAILABLE")))
    plan = SoakSettings(duration_s=180.0, share=0.6, recycle_s=60.0, timeout_s=1.0)
    page = read_page(soak_page(result, plan=plan, machine=Machine.here()))
    for said in (result.verdict, "1 UNAVAILABLE", "gateway-2", "109", "3 min"):
        assert said in page.text, said
    assert ["gateway" in picture for picture in page.pictures] == [True]
