"""Any history of calls, servers, faults and contracts: a model beside coalescer, queue and pool says what must hold."""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from feature_gateway.coalescing.batch import Batch, Group
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.coalescing.deadlines import TICK_S
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import (
    CredentialsRefusedError,
    DeadlineExceededError,
    GatewayError,
    RejectedUpstreamError,
    UpstreamUnavailableError,
)
from feature_gateway.reads import Served, Slot
from feature_gateway.upstream.feature_server import ServerUnreachableError
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.upstream.slot import ReplicaSlot
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from own_time import OwnTimeLoop
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from watched_servers import BAD_NAME, MAX_READ_ROWS, Read, Server, row_for

_MAX_QUEUED = 12
_URLS = ("a", "b", "c")
_FAILURES: dict[str, type[Exception] | type[asyncio.CancelledError]] = {
    "unavailable": UpstreamUnavailableError,
    "unreachable": ServerUnreachableError,
    "late": DeadlineExceededError,
    "unforeseen": ZeroDivisionError,
    "cancelled": asyncio.CancelledError,
}
# More on demand, such as HISTORIES=20000.
_HISTORIES = int(os.environ.get("HISTORIES", "150"))


@dataclass(eq=False)
class _Call:
    """What the model knows of a call: for whom it asked, until when, and what it was told."""

    names: list[str]
    feature_set: FeatureSet
    authorization: str
    deadline: float
    task: "asyncio.Task[Any]"
    cancelled: bool = False


class Histories(RuleBasedStateMachine):
    """The parts together, and the model: the calls, the servers in service, and how long each group has waited."""

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[str, Server] = {}
        self.all_servers: list[Server] = []
        self.calls: list[_Call] = []
        self.reloads = 0
        self.newcomers = 0
        self.waits: dict[Group, list[int]] = {}
        """For each group that waits: batches that left since, and how many may at most."""
        self.batches: list[Batch] = []
        """In the order in which they left; the coalescer's own set has none that a history would repeat."""
        self.complaints: list[dict[str, Any]] = []
        self.runner = asyncio.Runner(loop_factory=OwnTimeLoop)
        self.loop = self.runner.get_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.all_sets: list[FeatureSet] = []
        """Kept: the queue knows groups by their hashes, and a new set could have the address of one that is gone."""
        self.feature_sets = self._new_sets()
        self.run(self._build())

    def run(self, what: Any) -> None:
        self.runner.run(what)

    async def _build(self) -> None:
        self.pool = ReplicaPool(_URLS[:2], connect=self._connect, hedge=False)
        self.coalescer = Coalescer(self.pool, max_read_rows=MAX_READ_ROWS, max_queued=_MAX_QUEUED)
        queue = self.coalescer._queue
        take_batch = queue.take_batch

        def take_and_count(slot: Slot, now: float) -> Batch:
            # Only a read that is tried again may share a server.
            assert isinstance(slot, ReplicaSlot)
            assert slot.replica is None or slot.replica.slots_taken == 1
            turns, newcomers = len(queue._turns), len(queue._newcomers)
            waiting = {group for group, calls in queue._turns.items() if group is not None and calls}
            batch = take_batch(slot, now)
            self.batches.append(batch)
            self.waits = {
                group: [left, max(most, turns)] for group, (left, most) in self.waits.items() if group in waiting
            }
            for group in waiting - {batch.group}:
                left, most = self.waits.get(group, [0, turns])
                self.waits[group] = [left + 1, most]
                # Every group that waits is served within as many turns as there are groups.
                assert left + 1 <= most + newcomers
            self.waits.pop(batch.group, None)
            return batch

        queue.take_batch = take_and_count  # type: ignore[method-assign]  # watched, not changed

    def _connect(self, url: str) -> Server:
        self.servers[url] = Server(url, lambda: self.pool)
        self.all_servers.append(self.servers[url])
        return self.servers[url]

    def _new_sets(self) -> list[FeatureSet]:
        features = [ContractFeature(f"{name}{self.reloads}", "v", name, "String", None) for name in "fg"]
        self.all_sets += (new := [FeatureSet((feature,), ()) for feature in features])
        return new

    @property
    def live(self) -> list[Read]:
        return [read for server in self.all_servers for read in server.live if not read.answer.done()]

    @rule(
        names=st.lists(st.sampled_from(["1", "2", "3", "4", "5", BAD_NAME]), min_size=1, max_size=6, unique=True),
        which=st.integers(0, 1),
        authorization=st.sampled_from(["p", "q", "new"]),
        timeout_s=st.sampled_from([0.01, 0.3, 600.0]),
        turns=st.integers(0, 4),
    )
    def arrive(self, names: list[str], which: int, authorization: str, timeout_s: float, turns: int) -> None:
        if authorization == "new":
            self.newcomers += 1
            authorization = f"new-{self.newcomers}"
        self.run(self._arrive(names, self.feature_sets[which], authorization, timeout_s, turns))

    async def _arrive(
        self, names: list[str], feature_set: FeatureSet, authorization: str, timeout_s: float, turns: int
    ) -> None:
        asked: Any
        if len(names) == 1:
            asked = self.coalescer.row(feature_set, (names[0],), caller_key=authorization, timeout_s=timeout_s)
        else:
            asked = self.coalescer.rows(
                feature_set, [(name,) for name in names], caller_key=authorization, timeout_s=timeout_s
            )
        task = asyncio.create_task(asked)
        self.calls.append(_Call(names, feature_set, authorization, self.loop.time() + timeout_s, task))
        await self._turns(turns)

    @staticmethod
    async def _turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    @rule(turns=st.integers(1, 3))
    def go_on(self, turns: int) -> None:
        self.run(self._turns(turns))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 3))
    def cancel(self, which: int, turns: int) -> None:
        call = self.calls[which % len(self.calls)]
        call.cancelled = call.task.cancel() or call.cancelled
        self.run(self._turns(turns))

    @rule(seconds=st.sampled_from([0.005, 0.1, 0.4, 3.0]))
    def expire(self, seconds: float) -> None:
        self.run(self._expire(seconds))

    async def _expire(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._turns(10)
        for call in self.calls:
            assert call.task.done() or call.deadline + TICK_S > self.loop.time()

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 4))
    def answer(self, which: int, turns: int) -> None:
        self.live[which % len(self.live)].answer.set_result(None)
        self.run(self._turns(turns))

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), failure=st.sampled_from([*_FAILURES, "refused"]), turns=st.integers(0, 4))
    def fail(self, which: int, failure: str, turns: int) -> None:
        answer = self.live[which % len(self.live)].answer
        if failure == "cancelled":
            answer.cancel()
        elif failure == "refused":
            answer.set_exception(CredentialsRefusedError(ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, "no"))
        else:
            answer.set_exception(_FAILURES[failure]("failed"))
        self.run(self._turns(turns))

    @precondition(lambda self: self.coalescer._batches)
    @rule(which=st.integers(0, 50), turns=st.integers(0, 4))
    def break_off(self, which: int, turns: int) -> None:
        """Cancel a read's task at whatever it awaits."""
        batches = [batch for batch in self.batches if batch in self.coalescer._batches]
        task = batches[which % len(batches)].task
        assert task is not None
        task.cancel()
        self.run(self._turns(turns))

    @rule(urls=st.sets(st.sampled_from(_URLS)))
    def set_servers(self, urls: set[str]) -> None:
        async def change() -> None:
            self.pool.set_urls(sorted(urls))

        self.run(change())

    @rule()
    def reload(self) -> None:
        self.reloads += 1
        self.feature_sets = self._new_sets()

    @invariant()
    def bounds_hold(self) -> None:
        assert self.coalescer.queued <= _MAX_QUEUED
        # No slot but those of reads, and of what is done after them; reads on servers that were dropped have others.
        taken = sum(replica.slots_taken for replica in self.pool._replicas)
        assert taken <= len(self.coalescer._batches)
        assert self.complaints == []
        for call in self.calls:
            if call.task.done():
                self._check(call)
        self.calls = [call for call in self.calls if not call.task.done()]

    def _check(self, call: _Call) -> None:
        if call.task.cancelled():
            assert call.cancelled
            return
        error = call.task.exception()
        if error is not None:
            assert isinstance(error, GatewayError | ZeroDivisionError), repr(error)
            if isinstance(error, RejectedUpstreamError):
                assert call.names == [BAD_NAME]
            return
        answers = call.task.result()
        for name, answer in zip(call.names, [answers] if len(call.names) == 1 else answers, strict=True):
            if isinstance(answer, Served):
                assert name != BAD_NAME
                assert answer.row == row_for(name, call.feature_set, call.authorization)
            else:
                assert isinstance(answer, RejectedUpstreamError)
                assert name == BAD_NAME

    def teardown(self) -> None:
        try:
            self.run(self._end())
        finally:
            self.runner.close()
        self.bounds_hold()
        assert self.calls == []

    async def _end(self) -> None:
        self.pool.set_urls(_URLS)
        for _ in range(1000):
            if all(call.task.done() for call in self.calls) and not self.coalescer.in_flight:
                break
            for read in self.live:
                read.answer.set_result(None)
            await asyncio.sleep(0.01)
        assert all(call.task.done() for call in self.calls)
        assert (self.coalescer.queued, self.coalescer.in_flight, self.live) == (0, 0, [])
        # Every ejected server is probed back, and every slot is free again.
        await asyncio.sleep(2)
        slots = [self.pool.take_slot() for _ in _URLS]
        assert None not in slots
        assert self.pool.take_slot() is None
        for slot in slots:
            assert slot is not None
            slot.free()
        await self.coalescer.close()
        await self.pool.close()


TestAnyHistory = Histories.TestCase
TestAnyHistory.settings = settings(max_examples=_HISTORIES, stateful_step_count=40, deadline=None)
