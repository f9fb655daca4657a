"""An arm that errs or answers wrongly leaves nothing to compare."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from streamflow_loadtests.bed.servers import Servers
from streamflow_loadtests.bench import arms, clients, in_process
from streamflow_loadtests.bench import command as cli
from streamflow_loadtests.bench.arm import Arm
from streamflow_loadtests.bench.clients import CLIENTS
from streamflow_loadtests.bench.in_process import Tasks
from streamflow_loadtests.bench.load import Window
from streamflow_loadtests.bench.rounds import BenchmarkError, measure
from streamflow_loadtests.bench.server import Kind, Role, Server
from streamflow_loadtests.bench.workloads import BenchSettings, Workload
from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Caller, Reply, Values
from streamflow_loadtests.callers.errors import CallError
from streamflow_local.process import ProcessSpec

_ANSWERS: dict[str, Values] = {
    "0001-AAAAA": {"monthly_fee": 76.05, "plan_stream_tv": None},
    "0002-BBBBB": {"monthly_fee": 20.2, "plan_stream_tv": True},
    "0003-CCCCC": {"monthly_fee": 30.0, "plan_stream_tv": False},
}
_WORKLOADS = [Workload(users=1, callers=1), Workload(users=2, callers=4)]
_PLAN = BenchSettings(arms={"right": _WORKLOADS, "fake": _WORKLOADS}, rounds=2, duration_s=0.05, warm_up_s=0.01, seed=0)

Answer = Callable[[Sequence[str]], list[Reply]]


def _right(user_ids: Sequence[str]) -> list[Reply]:
    return [Reply(user_id=user_id, values=_ANSWERS[user_id]) for user_id in user_ids]


def _last(change: Callable[[Reply], Reply]) -> Answer:
    """Answers that are wrong in the last user alone."""

    def answer(user_ids: Sequence[str]) -> list[Reply]:
        *others, last = _right(user_ids)
        return [*others, change(last)]

    return answer


def _fails(_: Sequence[str]) -> list[Reply]:
    raise CallError("UNAVAILABLE: no store")


_WRONG: dict[str, tuple[Answer, str]] = {
    "another user's": (_last(lambda reply: reply._replace(user_id="9999-ZZZZZ")), "it answered for 9999-ZZZZZ"),
    "a wrong value": (
        _last(lambda reply: reply._replace(values={**reply.values, "monthly_fee": 76.0500001})),
        "it answered 76.0500001",
    ),
    "null for a value": (
        _last(lambda reply: reply._replace(values=dict.fromkeys(reply.values))),
        "it answered None",
    ),
    "a feature too few": (
        _last(lambda reply: reply._replace(values={"monthly_fee": reply.values["monthly_fee"]})),
        "has 2 features, it answered with 1: monthly_fee",
    ),
    "an error": (_fails, "failed: UNAVAILABLE: no store"),
}
_WRONG_BATCHES: dict[str, tuple[Answer, str]] = {
    **_WRONG,
    "another order": (lambda user_ids: _right(user_ids)[::-1], "it answered for 000"),
    "a user too few": (lambda user_ids: _right(user_ids)[:-1], "asked for 2 users, it answered for 1"),
    "a user twice": (lambda user_ids: _right([*user_ids, user_ids[0]]), "asked for 2 users, it answered for 3"),
}


class FakeCaller:
    """Answers from memory; wrongly only from the third call on, so that the arm does start."""

    def __init__(self, answer: Answer) -> None:
        self.resends = 0
        self._answer = answer
        self._calls = 0

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:  # noqa: ARG002
        await asyncio.sleep(0)
        self._calls += 1
        return _right(user_ids) if self._calls < 3 else self._answer(user_ids)

    async def close(self) -> None:
        pass


def _arm(name: str, answer: Answer, *, answers: Mapping[str, Values] = _ANSWERS) -> Arm:
    server = Server(what="a fake", kind=Kind.GATEWAY, port=1, roles={"idle": Role.OTHER}, answers=answers)
    loader = Tasks(lambda: FakeCaller(answer), answers)
    return Arm(name=name, what="a fake", server=server, client=CLIENTS["client"], loader=loader)


@pytest.fixture(autouse=True)
def _ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "connect", lambda _: FakeCaller(_right))


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
    one, two = _WORKLOADS
    assert [(cell.round, cell.workload, cell.arm) for cell in cells] == [
        *((0, one, "right"), (0, one, "fake"), (0, two, "right"), (0, two, "fake")),
        *((1, one, "fake"), (1, one, "right"), (1, two, "fake"), (1, two, "right")),
    ]
    assert all(cell.calls > 0 and cell.calls_per_s > 0 for cell in cells)
    assert told == ["round 1 of 2: right, fake", "round 2 of 2: fake, right"]


async def test_an_arm_that_knows_fewer_users_than_a_call_has_is_left_out(servers: Servers) -> None:
    chosen = [_arm("right", _right), _arm("fake", _right, answers={"0001-AAAAA": _ANSWERS["0001-AAAAA"]})]
    cells = await measure(replace(_PLAN, rounds=1), chosen, servers, say=lambda _: None)
    assert [(cell.arm, cell.workload.users) for cell in cells] == [("right", 1), ("fake", 1), ("right", 2)]


@pytest.mark.parametrize("wrong", _WRONG)
async def test_the_arm_and_its_fault_are_named(servers: Servers, wrong: str) -> None:
    answer, reason = _WRONG[wrong]
    with pytest.raises(BenchmarkError, match=r"^fake under 1 caller, 1 user a call, round 1: ") as refusal:
        await measure(_PLAN, [_arm("right", _right), _arm("fake", answer)], servers, say=lambda _: None)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("wrong", _WRONG_BATCHES)
async def test_what_is_wrong_with_one_user_of_a_batch_is_found(servers: Servers, wrong: str) -> None:
    answer, reason = _WRONG_BATCHES[wrong]
    under = [Workload(users=2, callers=1)]
    plan = replace(_PLAN, arms={"right": under, "fake": under})
    with pytest.raises(BenchmarkError, match=r"^fake under 1 caller, 2 users a call, round 1: ") as refusal:
        await measure(plan, [_arm("right", _right), _arm("fake", answer)], servers, say=lambda _: None)
    assert reason in str(refusal.value)


async def test_a_workload_that_the_client_of_an_arm_can_not_make_is_left_out(servers: Servers) -> None:
    apart = Workload(users=1, callers=2, apart=True)
    chosen = [_arm("right", _right), replace(_arm("fake", _right), client=CLIENTS["grpc.aio"])]
    plan = replace(_PLAN, arms={"right": [apart], "fake": [apart]}, rounds=1)
    cells = await measure(plan, chosen, servers, say=lambda _: None)
    assert [(cell.arm, cell.workload) for cell in cells] == [("fake", apart)]


async def test_callers_apart_have_a_client_each_and_others_share_one() -> None:
    connected: list[FakeCaller] = []

    def connect() -> Caller:
        connected.append(FakeCaller(_right))
        return connected[-1]

    load = Tasks(connect, _ANSWERS)
    for apart, count in ((False, 1), (True, 6)):
        workload = Workload(users=1, callers=5, apart=apart)
        await load.run(workload, Window(watched={}), warm_up_s=0.01, duration_s=0.01, seed=0)
        assert len(connected) == count


async def test_a_call_without_a_reply_fails_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(FakeCaller):
        async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
            await asyncio.Event().wait()
            return await super().ask(user_ids, timeout_s=timeout_s)

    monkeypatch.setattr(in_process, "CALL_TIMEOUT_S", 0.1)
    load = await Tasks(lambda: Hangs(_right), _ANSWERS).run(
        Workload(users=1, callers=2), Window(watched={}), warm_up_s=0.01, duration_s=0.01, seed=0
    )
    assert set(load.failures) == {"a call got no reply in 0.1 s"}


def test_the_command_exits_1_without_a_comparison(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @contextmanager
    def served(*_: object, **__: object) -> Iterator[tuple[list[Arm], Servers]]:
        yield [_arm("right", _right), _arm("fake", _WRONG["a wrong value"][0])], servers

    monkeypatch.setattr(cli, "served", served)
    monkeypatch.setattr(arms, "exists", lambda _: True)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "bench",
            "--arm",
            "right",
            "--arm",
            "fake",
            "--users",
            "1",
            "--callers",
            "1",
            "--duration",
            "0.05",
            "--out",
            str(tmp_path),
        ],
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match="no comparison: fake under 1 caller, 1 user a call, round 1: ") as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "76.0500001" in str(ended.value)
    assert "calls/s" not in capsys.readouterr().out
    assert not list(tmp_path.glob("bench.*"))


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
