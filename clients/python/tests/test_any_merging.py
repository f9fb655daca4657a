"""Any history of calls, answers, failures and time: a model beside the client's merger says what must hold."""

import asyncio
import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import grpc
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from merging_model import (
    AGES,
    BAD,
    ELSEWHERE,
    FAILURES,
    TOKENS,
    assert_own_outcome,
    failure,
    key_of,
    reply_of,
    response_of,
)
from own_time import OwnTimeLoop
from streamflow_features._merging import Merger
from streamflow_features._selections import ask
from streamflow_features._task_merging import TaskMerger, _TaskCall

if TYPE_CHECKING:
    from streamflow_features import UserFeatures

_MAX_IN_FLIGHT, _MAX_USERS = 2, 3
# More on demand, such as HISTORIES=20000.
_HISTORIES = int(os.environ.get("HISTORIES", "100"))


@dataclass(eq=False)
class _Rpc:
    """A request under way, which a rule, its deadline or its cancellation ends."""

    user_ids: list[str]
    age: str
    token: str
    alone: bool
    started: float
    ended: "asyncio.Future[Any]"
    machine: "Merging"

    def __await__(self) -> Generator[Any, None, Any]:
        return self.ended.__await__()

    def cancel(self) -> bool:
        return self.ended.cancel()

    def answer(self) -> None:
        if self.alone:
            (user_id,) = self.user_ids
            if user_id == BAD:
                self.ended.set_exception(failure(grpc.StatusCode.INVALID_ARGUMENT))
                return
            self.ended.set_result(response_of(user_id, self.age, self.token))
            return
        self.machine.ask_again |= {one for one in self.user_ids if one.startswith(ELSEWHERE)}
        self.ended.set_result(reply_of(self.user_ids, self.age, self.token))


@dataclass(eq=False)
class _Asked:
    """What the model knows of a call."""

    user_id: str
    which: int
    token: str
    deadline: float
    task: "asyncio.Task[UserFeatures]"
    cancelled: bool = False
    sent: bool = False


@dataclass(eq=False)
class _Gateway:
    """Keeps the requests that it gets, and looks whether they are as they must be."""

    machine: "Merging"
    rpcs: list[_Rpc] = field(default_factory=list)

    def get(self, request: Any, *, timeout: float, metadata: Any) -> _Rpc:
        return self._take([request.user_id], request, timeout, metadata, alone=True)

    def batch_get(self, request: Any, *, timeout: float, metadata: Any) -> _Rpc:
        return self._take(list(request.user_ids), request, timeout, metadata, alone=False)

    @property
    def live(self) -> list[_Rpc]:
        self.rpcs = [rpc for rpc in self.rpcs if not rpc.ended.done()]
        return self.rpcs

    def _take(self, user_ids: list[str], request: Any, timeout: float, metadata: Any, *, alone: bool) -> _Rpc:
        loop = asyncio.get_running_loop()
        age = "1.0" if request.HasField("max_age") else "None"
        token = dict(metadata).get("authorization", "")
        assert 1 <= len(user_ids) <= _MAX_USERS
        self.machine.leaves(user_ids, age, token, timeout)
        rpc = _Rpc(user_ids, age, token, alone, loop.time(), loop.create_future(), self.machine)
        loop.call_later(timeout, self._expire, rpc)
        self.rpcs.append(rpc)
        return rpc

    @staticmethod
    def _expire(rpc: _Rpc) -> None:
        if not rpc.ended.done():
            rpc.ended.set_exception(failure(grpc.StatusCode.DEADLINE_EXCEEDED))


class Merging(RuleBasedStateMachine):
    """The merger, the requests that it makes, and the calls that it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Asked] = []
        self.count = 0
        self.ask_again: set[str] = set()
        """The users whom a batch could not read, and whom no caller has asked for alone since."""
        self.complaints: list[dict[str, Any]] = []
        self.runner = asyncio.Runner(loop_factory=OwnTimeLoop)
        self.loop = self.runner.get_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.gateway = _Gateway(self)
        get, batch_get = cast("Any", self.gateway.get), cast("Any", self.gateway.batch_get)
        self.merger = TaskMerger(get, batch_get)
        self.merger._merger = Merger[_TaskCall](max_in_flight=_MAX_IN_FLIGHT, max_users=_MAX_USERS, least_half=1)

    def leaves(self, user_ids: list[str], age: str, token: str, timeout: float) -> None:
        """The calls that leave are the first of those that wait, and the last deadline among them is the request's."""
        group = [one for one in self.calls if (str(AGES[one.which]), one.token) == (age, token)]
        if self.ask_again.intersection(user_ids):
            (user_id,) = user_ids
            self.ask_again.remove(user_id)
            (one,) = [one for one in group if one.user_id == user_id]
            assert abs(max(0.0, one.deadline - self.loop.time()) - timeout) < 1e-6
            return
        waiting = [one for one in group if not one.sent and not one.task.done()]
        # A call that was cancelled, or whose time is over, may have left already.
        left = [one for one in waiting if not one.cancelled and one.deadline > self.loop.time()]
        sent: list[_Asked] = []
        for user_id in user_ids:
            one = next(one for one in waiting if one.user_id == user_id and one not in sent)
            sent.append(one)
        last = waiting.index(sent[-1])
        assert all(one in sent for one in left if waiting.index(one) < last)
        for one in sent:
            one.sent = True
        latest = max(one.deadline for one in sent)
        assert abs(latest - self.loop.time() - timeout) < 1e-6

    def turns(self, count: int) -> None:
        async def go_on() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.runner.run(go_on())

    @rule(
        user=st.sampled_from(["new", "same", BAD, ELSEWHERE]),
        which=st.integers(0, 1),
        token=st.sampled_from(TOKENS),
        timeout_s=st.sampled_from([0.005, 0.3, 600.0]),
        turns=st.integers(0, 4),
    )
    def arrive(self, user: str, which: int, token: str, timeout_s: float, turns: int) -> None:
        self.count += 1
        user_id = f"{user}-{self.count}" if user in {"new", ELSEWHERE} else user
        _, request = ask(user_id, max_age_s=AGES[which])

        async def begin() -> None:
            asked = self.merger.answer(key_of(which, token), request, timeout_s=timeout_s)
            self.calls.append(_Asked(user_id, which, token, self.loop.time() + timeout_s, asyncio.create_task(asked)))
            # Its deadline counts from its first step.
            await asyncio.sleep(0)

        self.runner.run(begin())
        self.turns(turns)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 3))
    def cancel(self, which: int, turns: int) -> None:
        call = self.calls[which % len(self.calls)]
        call.cancelled = call.task.cancel() or call.cancelled
        self.turns(turns)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.15, 3.0]))
    def expire(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))
        self.turns(10)
        for call in self.calls:
            assert call.task.done() or call.deadline > self.loop.time()

    @precondition(lambda self: self.gateway.live)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 4))
    def answer(self, which: int, turns: int) -> None:
        live = self.gateway.live
        live[which % len(live)].answer()
        self.turns(turns)

    @precondition(lambda self: self.gateway.live)
    @rule(which=st.integers(0, 50), code=st.sampled_from(FAILURES), turns=st.integers(0, 4))
    def fail(self, which: int, code: grpc.StatusCode, turns: int) -> None:
        live = self.gateway.live
        live[which % len(live)].ended.set_exception(failure(code))
        self.turns(turns)

    @rule()
    def settle(self) -> None:
        """When nothing moves, each request has a caller, and each call that waits has taken slots ahead."""
        self.turns(10)
        open_calls = [call for call in self.calls if not call.task.done()]
        for rpc in self.gateway.live:
            assert any(call.sent and call.user_id in rpc.user_ids for call in open_calls)
        for call in open_calls:
            group = (str(AGES[call.which]), call.token)
            ahead = [rpc for rpc in self.gateway.live if (rpc.age, rpc.token) == group]
            assert call.sent or len(ahead) >= _MAX_IN_FLIGHT
            # More are out only if these have lost their slots.
            late = [rpc for rpc in ahead if rpc.started <= self.loop.time() - 0.01]
            assert len(ahead) - len(late) <= _MAX_IN_FLIGHT

    @invariant()
    def every_call_gets_its_own_outcome(self) -> None:
        assert self.complaints == []
        for call in self.calls:
            if call.task.cancelled():
                assert call.cancelled
            elif call.task.done():
                ended = call.task.exception() or call.task.result()
                assert_own_outcome(ended, call.user_id, AGES[call.which], call.token)
        self.calls = [call for call in self.calls if not call.task.done()]

    def teardown(self) -> None:
        try:
            for _ in range(1000):
                if all(call.task.done() for call in self.calls):
                    break
                for rpc in self.gateway.live:
                    rpc.answer()
                self.turns(3)
            self.every_call_gets_its_own_outcome()
            assert self.calls == []
            self.turns(10)
            assert (self.gateway.live, self.merger._sent, self.merger._merger._lanes) == ([], {}, {})
        finally:
            self.runner.close()


TestAnyMerging = Merging.TestCase
TestAnyMerging.settings = settings(max_examples=_HISTORIES, stateful_step_count=40, deadline=None)
