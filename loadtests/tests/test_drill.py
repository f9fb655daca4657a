"""What a drill makes of the calls it saw, and one drill of the real thing."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hostile_urls import environments, leaks
from html_pages import read_page
from streamflow_features import Value
from streamflow_loadtests.callers.calls import Reply, Values
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.open_loop import NOT_FOUND, OK, WRONG, Call, OpenLoop
from streamflow_loadtests.drill import outcome as run
from streamflow_loadtests.drill import overload
from streamflow_loadtests.drill.alerts import ALERTS
from streamflow_loadtests.drill.catalogue import FAULTS, Fault
from streamflow_loadtests.drill.page import drill_page
from streamflow_loadtests.measuring.lateness import Lateness
from streamflow_loadtests.measuring.machine import Machine

_DRILL = Path(sys.executable).parent / "drill"
_README = Path(__file__).parents[1] / "README.md"
_RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
_RIGHT: Values = {"fee": 29.85, "net": "DSL"}
_OUTAGE = next(fault for fault in FAULTS if fault.name == "Valkey frozen")
_NO_CALL = next(fault for fault in FAULTS if fault.name == "a feature server killed")


def _outcome(fault: Fault, *calls: Call) -> run.Outcome:
    return run.outcome_of(fault, calls, over_s=10.0, timeout_s=0.25)


def test_calls_that_fail_as_they_may_and_in_time_are_as_expected() -> None:
    outcome = _outcome(_OUTAGE, Call(8.0, 0.26, "DEADLINE_EXCEEDED"), Call(10.2, 0.1, "UNAVAILABLE"), Call(11, 0.1, OK))
    assert (outcome.calls, outcome.failed) == (3, {"DEADLINE_EXCEEDED": 1, "UNAVAILABLE": 1})
    assert outcome.past_deadline_ms == pytest.approx(10)
    assert outcome.back_s == pytest.approx(0.3)
    assert outcome.complaints == []


@pytest.mark.parametrize(
    ("fault", "call", "complaint"),
    [
        (_NO_CALL, Call(9.0, 0.1, "UNAVAILABLE"), "1 calls UNAVAILABLE"),
        (_OUTAGE, Call(9.0, 0.1, "INTERNAL"), "1 calls INTERNAL"),
        (_OUTAGE, Call(9.0, 0.1, WRONG), "1 calls WRONG"),
        (_OUTAGE, Call(9.0, 0.28, "DEADLINE_EXCEEDED"), "a call was answered 30 ms past its deadline"),
        (_OUTAGE, Call(11.9, 0.1, "UNAVAILABLE"), "calls failed for 2.0 s after the fault"),
    ],
)
def test_what_is_not_as_expected_is_complained_of(fault: Fault, call: Call, complaint: str) -> None:
    assert _outcome(fault, Call(1.0, 0.01, OK), call).complaints == [complaint]


def test_overload_is_judged_by_goodput_refusals_and_memory() -> None:
    calls = [Call(number / 100, 0.001, OK) for number in range(101)]
    refused = [Call(number / 100, 0.002, "RESOURCE_EXHAUSTED") for number in range(400)]
    good = overload.result_of(calls, peak_per_s=100.0, rss_mb=[50.0, 51.0])
    assert good.complaints == []
    assert good.goodput == pytest.approx(1.01)
    slow = [Call(0.0, 0.2, "RESOURCE_EXHAUSTED")] * 100
    bad = overload.result_of([*calls, *refused, *slow, Call(0, 1, "CANCELLED")], peak_per_s=100.0, rss_mb=[50.0, 60.0])
    assert bad.complaints == [
        "25% of the peak was answered",
        "1 % of the refusals took more than 200 ms",
        "the gateway's memory grew from 50 to 60 MB",
        "1 calls CANCELLED",
    ]


def test_the_clients_own_lateness_is_not_held_against_the_calls() -> None:
    calls = [Call(9.0, 0.30, "DEADLINE_EXCEEDED")]
    lateness = Lateness()
    for late_ms in (*[1] * 99, 40):
        lateness.begun.add(late_ms)
    judged = run.outcome_of(_OUTAGE, calls, over_s=10.0, timeout_s=0.25, lateness=lateness)
    assert judged.complaints == []
    assert judged.client_late_ms == pytest.approx(40)
    # Nor does the drill count as passed.
    assert judged.verdict == "void: the limit was exceeded by 30 ms, and the load client stalled for 40 ms"


async def test_a_call_is_timed_from_when_it_was_due() -> None:
    ended, calls = asyncio.Event(), list[Call]()

    def note(call: Call) -> None:
        calls.append(call)
        if len(calls) == 1:
            # The client stalls while some ten calls fall due.
            time.sleep(0.1)
        elif len(calls) == 20:
            ended.set()

    load = OpenLoop(caller=FakeCaller(_told()), answers={"u": _RIGHT}, calls_per_s=100, timeout_s=0.25, note=note)
    async with asyncio.timeout(20):
        await load.run(ended)
    due_s = [call.due_s for call in calls]
    assert [late - early for early, late in pairwise(due_s)] == pytest.approx([0.01] * (len(due_s) - 1))
    assert max(call.elapsed_s for call in calls) > 0.08
    assert load.lateness.begun.max_ms > 80
    assert load.lateness.often


@dataclass
class FakeCaller:
    """Answers what a test says, each time."""

    told: Reply | str
    resends: int = 0

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = 30.0) -> Sequence[Reply]:
        assert (user_ids, timeout_s) == (["u"], 0.25)
        if isinstance(self.told, str):
            raise CallError(self.told, "why")
        return [self.told]

    async def close(self) -> None:
        pass


def _told(*not_found: str, user_id: str = "u", user_known: bool = True, **values: Value) -> Reply:
    return Reply(user_id=user_id, user_known=user_known, values={**_RIGHT, **values}, not_found=frozenset(not_found))


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (_told(), OK),
        ("UNAVAILABLE", "UNAVAILABLE"),
        (_told(user_id="v"), WRONG),
        (_told(fee=0.0), WRONG),
        (_told(fee=None), WRONG),
        (_told("fee", fee=None), NOT_FOUND),
        (_told("fee", fee=None, net="Fiber"), WRONG),
        (_told("fee", "net", fee=None, net=None, user_known=False), NOT_FOUND),
        (_told("fee", "net", fee=None, net=None), WRONG),
        (_told(fee=None, user_known=False), WRONG),
    ],
)
async def test_every_reply_is_compared_with_what_it_is_to_hold(told: Reply | str, outcome: str) -> None:
    ended, calls = asyncio.Event(), list[Call]()

    def note(call: Call) -> None:
        calls.append(call)
        ended.set()

    load = OpenLoop(caller=FakeCaller(told), answers={"u": _RIGHT}, calls_per_s=1000, timeout_s=0.25, note=note)
    async with asyncio.timeout(20):
        await load.run(ended)
    assert {call.outcome for call in calls} == {outcome}


def test_every_fault_is_in_the_readmes_table() -> None:
    table = _README.read_text(encoding="utf-8")
    for name in [*(fault.name for fault in FAULTS), overload.OVERLOAD]:
        assert f"| {name} |" in table, name


def test_every_fault_has_its_alerts_and_the_runbook_has_the_same() -> None:
    assert list(ALERTS) == [*(fault.name for fault in FAULTS), overload.OVERLOAD]
    text = _RUNBOOK.read_text(encoding="utf-8").partition("| fault of `make drill` |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    assert rows == [
        [fault, _named(alerts.raised), _named(alerts.possible), alerts.why] for fault, alerts in ALERTS.items()
    ]


def _named(alerts: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(alerts)) or "none"


@pytest.mark.parametrize(
    ("fired", "complaint"),
    [
        ({"ReplicasSetAside"}, ""),
        (set(), "ReplicasSetAside did not fire"),
        ({"Overload", "ErrorBudgetBurnsFast"}, "ReplicasSetAside did not fire; ErrorBudgetBurnsFast, Overload fired"),
    ],
)
def test_alerts_that_do_not_fire_and_others_that_do_are_complained_of(fired: set[str], complaint: str) -> None:
    assert ALERTS["a feature server frozen"].complaint(frozenset(fired)) == complaint


def test_alerts_that_a_busy_machine_raises_are_allowed_where_the_drill_is_void() -> None:
    fired = frozenset({"ReplicasSetAside", "LatencyBudgetBurnsFast", "Overload", "MaterializeFailed"})
    assert ALERTS["a feature server frozen"].complaint(fired, void=True) == "MaterializeFailed fired"


@pytest.mark.slow
def test_a_drill_of_the_real_stack_finds_calls_out_of_time_while_valkey_is_frozen(tmp_path: Path) -> None:
    report = tmp_path / "drill.json"
    page = tmp_path / "drill.html"
    arguments = ["--only", "Valkey frozen", "--rate", "50", "--json", str(report), "--html", str(page)]
    # A drill has stores of its own; URLs of the environment are not told either.
    environment = {**os.environ, **next(environments())}
    result = subprocess.run(
        [str(_DRILL), *arguments], check=False, capture_output=True, text=True, timeout=180, env=environment
    )
    assert leaks(result.stdout + result.stderr) == []
    # Whether its times are met is the machine's matter; how calls end is not.
    assert result.returncode in {0, 1}, result.stdout + result.stderr
    [found] = json.loads(report.read_text())["faults"]
    assert found["fault"] == "Valkey frozen"
    assert found["calls"] > 50
    assert found["failed"]
    assert set(found["failed"]) <= {"DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert "Valkey frozen" in result.stdout
    assert "Valkey frozen" in read_page(page.read_text(encoding="utf-8")).text
    assert not [process for process in psutil.process_iter(["cmdline"]) if "streamflow-drill-" in str(process.info)]


def test_the_page_has_each_fault_with_its_verdict_and_the_overload() -> None:
    outcomes = [
        _outcome(_OUTAGE, Call(8.0, 0.26, "DEADLINE_EXCEEDED"), Call(11, 0.1, OK)),
        _outcome(_NO_CALL, Call(9.0, 0.1, "UNAVAILABLE")),
    ]
    calls = [Call(number / 100, 0.001, OK) for number in range(101)]
    overloaded = overload.result_of(calls, peak_per_s=100.0, rss_mb=[50.0, 51.0])
    page = read_page(drill_page(outcomes, overloaded, machine=Machine.here(), rate=200.0, timeout_ms=250.0))
    for outcome in outcomes:
        assert {outcome.fault, outcome.verdict} <= {text.strip() for text in page.texts}
    for said in ("1 DEADLINE_EXCEEDED", "1 UNAVAILABLE", "101 OK", "101%", "2 of 3"):
        assert said in page.text, said
    assert len(page.pictures) == 2
