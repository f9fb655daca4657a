"""An arm that errs or answers wrongly leaves nothing to compare."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from streamflow_loadtests import cli
from streamflow_loadtests.arms import Arm
from streamflow_loadtests.callers import CallError, Reply
from streamflow_loadtests.data import Values
from streamflow_loadtests.run import BenchmarkError, Plan, measure
from streamflow_loadtests.servers import Servers
from streamflow_local.process import ProcessSpec

_ANSWERS: dict[str, Values] = {
    "0001-AAAAA": {"monthly_fee": 76.05, "plan_stream_tv": None},
    "0002-BBBBB": {"monthly_fee": 20.2, "plan_stream_tv": True},
}
_PLAN = Plan(arms=["right", "fake"], callers=[1, 4], rounds=2, duration_s=0.05, warm_up_s=0.01, seed=0)


def _right(user_id: str) -> Reply:
    return Reply(user_id=user_id, values=_ANSWERS[user_id])


def _fails(_: str) -> Reply:
    raise CallError("UNAVAILABLE: no store")


_WRONG: dict[str, tuple[Callable[[str], Reply], str]] = {
    "another user's": (
        lambda _: Reply(user_id="9999-ZZZZZ", values=_ANSWERS["0001-AAAAA"]),
        "it answered for 9999-ZZZZZ",
    ),
    "a wrong value": (
        lambda user: Reply(user_id=user, values={**_ANSWERS[user], "monthly_fee": 76.0500001}),
        "it answered 76.0500001",
    ),
    "null for a value": (
        lambda user: Reply(user_id=user, values=dict.fromkeys(_ANSWERS[user])),
        "it answered None",
    ),
    "a feature too few": (
        lambda user: Reply(user_id=user, values={"monthly_fee": _ANSWERS[user]["monthly_fee"]}),
        "has 2 features, it answered with 1: monthly_fee",
    ),
    "an error": (_fails, "failed: UNAVAILABLE: no store"),
}


class FakeCaller:
    """Answers from memory; wrongly only from the third call on, so that the arm does start."""

    def __init__(self, answer: Callable[[str], Reply]) -> None:
        self.resends = 0
        self._answer = answer
        self._calls = 0

    async def ask(self, user_id: str) -> Reply:
        await asyncio.sleep(0)
        self._calls += 1
        return _right(user_id) if self._calls < 3 else self._answer(user_id)

    def read(self, reply: Reply) -> Reply:
        return reply

    async def close(self) -> None:
        pass


def _arm(name: str, answer: Callable[[str], Reply]) -> Arm:
    spec = ProcessSpec(name="idle", command=("/bin/sleep", "600"))
    return Arm(name=name, what="a fake", processes=(spec,), caller=lambda: FakeCaller(answer), answers=_ANSWERS)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with Servers(tmp_path / "logs") as servers:
        for name in ("idle", "valkey"):
            servers.start(ProcessSpec(name=name, command=("/bin/sleep", "600")))
        yield servers


async def test_right_replies_are_measured_in_every_cell(servers: Servers) -> None:
    chosen = [_arm("right", _right), _arm("fake", _right)]
    told: list[str] = []
    cells = await measure(_PLAN, chosen, servers, say=told.append)
    assert [(cell.round, cell.callers, cell.arm) for cell in cells] == [
        *((0, 1, "right"), (0, 1, "fake"), (0, 4, "right"), (0, 4, "fake")),
        *((1, 1, "fake"), (1, 1, "right"), (1, 4, "fake"), (1, 4, "right")),
    ]
    assert all(cell.calls > 0 and cell.calls_per_s > 0 for cell in cells)
    assert told == ["round 1 of 2: right, fake", "round 2 of 2: fake, right"]


@pytest.mark.parametrize("wrong", _WRONG)
async def test_the_arm_and_its_fault_are_named(servers: Servers, wrong: str) -> None:
    answer, reason = _WRONG[wrong]
    with pytest.raises(BenchmarkError, match=r"^fake under 1 callers, round 1: ") as refusal:
        await measure(_PLAN, [_arm("right", _right), _arm("fake", answer)], servers, say=lambda _: None)
    assert reason in str(refusal.value)


def test_the_command_exits_1_without_a_comparison(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @contextmanager
    def served(*_: object, **__: object) -> Iterator[tuple[list[Arm], Servers]]:
        yield [_arm("right", _right), _arm("fake", _WRONG["a wrong value"][0])], servers

    monkeypatch.setattr(cli, "served", served)
    monkeypatch.setattr(sys, "argv", ["bench", "--quick", "--duration", "0.05", "--json", str(tmp_path / "out.json")])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="no comparison: fake under 1 callers, round 1: ") as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "76.0500001" in str(ended.value)
    assert "calls/s" not in capsys.readouterr().out
    assert not (tmp_path / "out.json").exists()


def test_servers_end_with_all_that_they_started(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        servers.start(ProcessSpec(name="parent", command=("/bin/sh", "-c", "sleep 600 & exec sleep 600")))
        parent = servers.process("parent")
        children: list[psutil.Process] = []
        while not children:
            children = parent.children()
    assert not parent.is_running()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_servers_end_when_a_run_is_interrupted(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    servers.start(ProcessSpec(name="idle", command=("/bin/sleep", "600")))
    with pytest.raises(KeyboardInterrupt), servers:
        raise KeyboardInterrupt
    assert not servers.process("idle").is_running()
