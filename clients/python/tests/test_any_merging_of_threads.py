"""Any history of calls of real threads: a model beside the client's merger says what must hold, and in what time."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import grpc
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
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
from streamflow_features._merging import Merger
from streamflow_features._selections import ask
from streamflow_features._thread_merging import ThreadMerger, _ThreadCall

_MAX_IN_FLIGHT, _MAX_USERS = 1, 3
_STEPS = 20
# The first is longer than a request holds its slot while calls wait.
_SHORT_S, _LONG_S = 0.15, 90.0
# For what takes a moment, on a machine that does much else.
_BOUND_S = 60.0
# More on demand, such as HISTORIES=5000.
_HISTORIES = int(os.environ.get("HISTORIES", "30"))


class _Rpc:
    """A request under way, which a rule, its deadline or its cancellation ends, once."""

    def __init__(self, user_ids: list[str], age: str, token: str, *, alone: bool) -> None:
        self.user_ids, self.age, self.token, self.alone = user_ids, age, token, alone
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._outcome: Any = None
        self._callbacks: list[Callable[[Any], object]] = []

    def end(self, outcome: Any) -> None:
        with self._lock:
            if self.ended.is_set():
                return
            self._outcome = outcome
            self.ended.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        with self._lock:
            if not self.ended.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def cancel(self) -> None:
        self.end(grpc.FutureCancelledError())

    def result(self) -> Any:
        assert self.ended.is_set()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def answer(self) -> None:
        if not self.alone:
            self.end(reply_of(self.user_ids, self.age, self.token))
        elif self.user_ids == [BAD]:
            self.end(failure(grpc.StatusCode.INVALID_ARGUMENT))
        else:
            self.end(response_of(self.user_ids[0], self.age, self.token))


@dataclass(eq=False)
class _Asked:
    """What the model knows of a call."""

    user_id: str
    which: int
    token: str
    request: Any
    deadline: float
    """At the earliest: the thread may have begun later."""

    sent: bool = False
    future: "Future[Any]" = field(default_factory=Future)


class Threads(RuleBasedStateMachine):
    """The merger, the requests that it makes, and the calls that threads made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Asked] = []
        self.rpcs: list[_Rpc] = []
        self.complaints: list[str] = []
        self.ask_again: list[str] = []
        """The users whom a batch could not read, and whom no caller has asked for alone since."""
        self.closes = False
        self.lock = threading.Lock()
        self.threads = ThreadPoolExecutor(5 * _STEPS)
        batch_get = type("BatchGet", (), {"future": staticmethod(self._batch_get)})
        self.merger = ThreadMerger(cast("Any", self._get), cast("Any", batch_get))
        self.merger._merger = Merger[_ThreadCall](max_in_flight=_MAX_IN_FLIGHT, max_users=_MAX_USERS, least_half=1)

    def _get(self, request: Any, *, timeout: float, metadata: Any) -> Any:
        rpc = self._take([request.user_id], request, metadata, alone=True)
        rpc.ended.wait(timeout)
        rpc.end(failure(grpc.StatusCode.DEADLINE_EXCEEDED))
        return rpc.result()

    def _batch_get(self, request: Any, *, timeout: float, metadata: Any) -> Any:
        if timeout > _LONG_S:
            self.complaints.append(f"a timeout of {timeout} s")
        return self._take(list(request.user_ids), request, metadata, alone=False)

    def _take(self, user_ids: list[str], request: Any, metadata: Any, *, alone: bool) -> _Rpc:
        age = "1.0" if request.HasField("max_age") else "None"
        rpc = _Rpc(user_ids, age, dict(metadata).get("authorization", ""), alone=alone)
        with self.lock:
            if alone and user_ids[0] in self.ask_again:
                self.ask_again.remove(user_ids[0])
            else:
                self._leave(rpc)
            self.rpcs.append(rpc)
        return rpc

    def _leave(self, rpc: _Rpc) -> None:
        """The calls that leave are of one kind, and the first of those that wait, but for those whose time is over."""
        group = [one for one in self.calls if (str(AGES[one.which]), one.token) == (rpc.age, rpc.token)]
        waiting = [one for one in group if not one.sent]
        for user_id in rpc.user_ids:
            found = [one for one in waiting if one.user_id == user_id and not one.sent]
            if not found:
                self.complaints.append(f"{user_id} is asked for, and nobody of the kind waits for it")
                return
            min(found, key=lambda one: one.future.done()).sent = True
        last = max(place for place, one in enumerate(waiting) if one.sent)
        now = time.monotonic()
        if any(not one.sent and one.deadline > now for one in waiting[:last]):
            self.complaints.append(f"{rpc.user_ids} left ahead of a call that came first")
        if len(rpc.user_ids) > _MAX_USERS:
            self.complaints.append(f"a request has {len(rpc.user_ids)} users")

    @property
    def live(self) -> list[_Rpc]:
        with self.lock:
            return [rpc for rpc in self.rpcs if not rpc.ended.is_set()]

    @property
    def open_calls(self) -> list[_Asked]:
        return [call for call in self.calls if not call.future.done()]

    def _waits(self, call: _Asked) -> bool:
        """Whether a call has arrived and not left; it may be in a flight that is not sent yet."""
        with self.merger._lock:
            lanes = list(self.merger._merger._lanes.values())
            return any(one.request is call.request for lane in lanes for one in lane.queue)

    @staticmethod
    def _until(holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + _BOUND_S
        pause = threading.Event()
        while not holds():
            assert time.monotonic() < ends
            pause.wait(0.0005)

    @initialize(closes=st.booleans())
    def begin(self, closes: bool) -> None:  # noqa: FBT001  # hypothesis's form
        self.closes = closes

    @rule(
        users=st.lists(st.sampled_from(["new", "new", "same", BAD, ELSEWHERE]), min_size=1, max_size=5),
        short=st.booleans(),
        # Most of one kind, so that many gather.
        which=st.sampled_from([0, 0, 0, 1]),
        token=st.sampled_from([TOKENS[0], *TOKENS]),
    )
    def arrive(self, users: list[str], short: bool, which: int, token: str) -> None:  # noqa: FBT001  # the same
        for user in users:
            # Equal ids whose time is over could not be told apart.
            unique = user in {"new", ELSEWHERE}
            timeout_s = _SHORT_S if short and unique else _LONG_S
            user_id = f"{user}-{len(self.calls)}" if unique else user
            _, request = ask(user_id, max_age_s=AGES[which])
            call = _Asked(user_id, which, token, request, time.monotonic() + timeout_s)
            with self.lock:
                self.calls.append(call)
            call.future = self.threads.submit(self.merger.answer, key_of(which, token), request, timeout_s=timeout_s)
            self._until(partial(self._arrived, call))

    def _arrived(self, call: _Asked) -> bool:
        return call.sent or call.future.done() or self._waits(call)

    @rule(which=st.integers(0, 50))
    def answer(self, which: int) -> None:
        live = self.live
        if live:
            self._note_elsewhere(rpc := live[which % len(live)])
            rpc.answer()

    def _note_elsewhere(self, rpc: _Rpc) -> None:
        with self.lock:
            self.ask_again += [one for one in rpc.user_ids if not rpc.alone and one.startswith(ELSEWHERE)]

    @rule(which=st.integers(0, 50), code=st.sampled_from(FAILURES))
    def fail(self, which: int, code: grpc.StatusCode) -> None:
        live = self.live
        if live:
            live[which % len(live)].end(failure(code))

    @rule()
    def short_deadlines_pass(self) -> None:
        self._until(lambda: not [one for one in self.open_calls if one.deadline < time.monotonic() + 1])

    @rule()
    def nobody_waits_longer_than_patience(self) -> None:
        """Though no request is answered."""
        self._until(lambda: all(call.sent for call in self.open_calls))

    @rule()
    def requests_that_nobody_waits_for_are_cancelled(self) -> None:
        def wanted(rpc: _Rpc) -> bool:
            return any(call.user_id in rpc.user_ids for call in self.open_calls)

        self._until(lambda: all(map(wanted, self.live)))

    @invariant()
    def every_call_gets_its_own_outcome(self) -> None:
        assert self.complaints == []
        for call in self.calls:
            if call.future.done():
                ended = call.future.exception() or call.future.result()
                assert_own_outcome(ended, call.user_id, AGES[call.which], call.token)

    def teardown(self) -> None:
        try:
            if self.closes:
                self.merger.close()
            self._until(self._all_ended)
            self.every_call_gets_its_own_outcome()
            self._until(lambda: not self.live)
            assert (self.merger._sent, self.merger._merger._lanes) == ({}, {})
        finally:
            for rpc in self.live:
                rpc.end(failure(grpc.StatusCode.CANCELLED))
            self.threads.shutdown()

    def _all_ended(self) -> bool:
        for rpc in self.live:
            if self.closes:
                # As the channel, which is closed next.
                rpc.cancel() if not rpc.alone else rpc.end(failure(grpc.StatusCode.CANCELLED))
            else:
                self._note_elsewhere(rpc)
                rpc.answer()
        return not self.open_calls


TestAnyMergingOfThreads = Threads.TestCase
# Threads never take turns in the same way twice, so a history that failed is not made shorter.
TestAnyMergingOfThreads.settings = settings(
    max_examples=_HISTORIES, stateful_step_count=_STEPS, deadline=None, phases=[Phase.generate]
)
