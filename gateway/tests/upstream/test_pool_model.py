"""A pool of servers that fail, freeze, come and go, under reads that are cancelled and expire; time is the test's.

POOL_EXAMPLES sets how many runs (60 by default).
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import (
    CredentialsRefusedError,
    DeadlineExceededError,
    GatewayError,
    RejectedUpstreamError,
    UpstreamUnavailableError,
)
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.upstream.replica import Replica
from feature_gateway.values import Row
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from own_time import OwnTimeLoop
from row_fakes import row_of_text, values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
_URLS = [f"s{number}" for number in range(6)]
_FOREVER_S = 1e6
_BACK_WITHIN_S = 5.0
_TURNS = 12


class State(Enum):
    WELL = 0.004
    SLOW = 0.6
    FROZEN = _FOREVER_S
    GONE = -1.0
    STORE_DOWN = -2.0
    REJECTS = -3.0
    REFUSES = -4.0


_FAILURES: dict[State, Callable[[], GatewayError]] = {
    State.GONE: lambda: ServerUnreachableError("gone"),
    State.STORE_DOWN: lambda: UpstreamUnavailableError("Redis is down"),
    State.REJECTS: lambda: RejectedUpstreamError("rejected"),
    State.REFUSES: lambda: CredentialsRefusedError(ErrorReason.ERROR_REASON_CREDENTIALS_INVALID, "refused"),
}


@dataclass
class Server(FeatureServer):
    """A server in one of the states."""

    url: str
    states: dict[str, State]
    broken: list[str]
    let_go: bool = False
    under_way: int = 0

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Row]:
        del feature_set, authorization
        if self.let_go:
            self.broken.append("a read on a server that was let go")
        self.under_way += 1
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(max(0.001, self.states[self.url].value))
        except TimeoutError as error:
            raise DeadlineExceededError("late") from error
        finally:
            self.under_way -= 1
        failure = _FAILURES.get(self.states[self.url])
        if failure is not None:
            raise failure()
        return [row_of_text(str(name)) for (name,) in keys]

    async def alive(self, *, timeout_s: float) -> bool:
        if self.let_go:
            self.broken.append("a probe of a server that was let go")
        if self.states[self.url] is State.FROZEN:
            await asyncio.sleep(timeout_s)
        return self.states[self.url] not in {State.FROZEN, State.GONE}


class PoolModel(RuleBasedStateMachine):
    """Rules do what callers, servers and DNS do; what must hold is checked after each of them."""

    @initialize(
        count=st.integers(1, len(_URLS)), hedge=st.booleans(), reads_per_replica=st.integers(1, 2), warm=st.booleans()
    )
    def start(self, *, count: int, hedge: bool, reads_per_replica: int, warm: bool) -> None:
        self.loop = OwnTimeLoop()
        self.states = dict.fromkeys(_URLS, State.WELL)
        self.servers: list[Server] = []
        self.broken: list[str] = []
        self.replicas: dict[int, Replica] = {}
        self.reads: list[asyncio.Task[None]] = []
        self.numbers = 0
        self.reads_per_replica = reads_per_replica
        self.loop.run_until_complete(self._make(_URLS[:count], hedge=hedge))
        if warm:
            for _ in range(25):
                self._take("warm", 1.0)
                self.pass_time(0.1)

    async def _make(self, urls: Sequence[str], *, hedge: bool) -> None:
        async def first_read(server: FeatureServer) -> None:
            await server.read_rows(_SET, [("canary",)], authorization="", timeout_s=0.5)

        self.pool = ReplicaPool(
            urls,
            connect=self._connect,
            hedge=hedge,
            reads_per_replica=self.reads_per_replica,
            first_read=first_read,
        )
        self._note_replicas()

    def _connect(self, url: str) -> Server:
        server = Server(url, self.states, self.broken)
        self.servers.append(server)
        return server

    def _note_replicas(self) -> None:
        self.replicas |= {id(replica): replica for replica in self.pool._replicas}

    def _take(self, name: str, timeout_s: float) -> None:
        # Read in at once, as the coalescer does: a read stays in the slot that it was given.
        slot = self.pool.take_slot()
        if slot is None:
            return

        async def read() -> None:
            try:
                with contextlib.suppress(GatewayError):
                    rows, _ = await slot.read_rows(_SET, [(name,)], authorization="", timeout_s=timeout_s)
                    assert [values_of(row) for row in rows if isinstance(row, Row)] == [(name,)]
            finally:
                slot.free()

        self.reads.append(self.loop.create_task(read()))

    @rule(timeout_s=st.sampled_from([0.001, 0.02, 0.3, 2.0, _FOREVER_S]))
    def arrive(self, timeout_s: float) -> None:
        self.numbers += 1
        self._take(f"u{self.numbers}", timeout_s)
        self.pass_time(0.0)

    @rule(timeout_s=st.sampled_from([0.001, 0.5]))
    def read_past_the_queue(self, timeout_s: float) -> None:
        async def read() -> None:
            with contextlib.suppress(GatewayError):
                await self.pool.read_rows(_SET, [("canary",)], authorization="", timeout_s=timeout_s)

        self.reads.append(self.loop.create_task(read()))

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        data.draw(st.sampled_from(self.reads)).cancel()

    @rule(by_s=st.sampled_from([0.0, 0.003, 0.02, 0.3, 1.0]))
    def pass_time(self, by_s: float) -> None:
        async def passing() -> None:
            await asyncio.sleep(by_s)
            for _ in range(_TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(passing())
        for read in [read for read in self.reads if read.done()]:
            self.reads.remove(read)
            assert read.cancelled() or read.exception() is None, read.exception()

    @rule(url=st.sampled_from(_URLS), state=st.sampled_from(State))
    def become(self, url: str, state: State) -> None:
        self.states[url] = state

    @rule(frozen=st.sets(st.sampled_from(_URLS)), timeout_s=st.sampled_from([0.001, 0.3]))
    def freeze_under_load(self, frozen: set[str], timeout_s: float) -> None:
        self.states |= dict.fromkeys(frozen, State.FROZEN)
        for number in range(4 * len(_URLS)):
            self._take(f"f{number}", timeout_s)
            self.pass_time(timeout_s / 2)
            self.at_most_half_are_ejected_for_slowness_and_at_least_one_may_be()

    @rule(urls=st.lists(st.sampled_from(_URLS), unique=True))
    def resolve(self, urls: list[str]) -> None:
        # A read that has chosen its server goes there, if only in the loop's next turn.
        self.pass_time(0.0)

        async def setting() -> None:
            self.pool.set_urls(urls)

        self.loop.run_until_complete(setting())
        self._note_replicas()
        in_service = {id(replica.server) for replica in self.pool._replicas}
        for server in self.servers:
            server.let_go = id(server) not in in_service
        assert self.pool.urls == urls

    @invariant()
    def a_server_that_was_let_go_gets_neither_reads_nor_probes(self) -> None:
        assert getattr(self, "broken", []) == []

    @invariant()
    def loads_are_never_negative(self) -> None:
        for replica in self._all():
            assert replica.in_flight >= 0
            assert replica.slots_taken >= 0

    @invariant()
    def at_most_half_are_ejected_for_slowness_and_at_least_one_may_be(self) -> None:
        slow = sum(replica.slow for replica in self._known())
        assert slow <= max(1, len(self._known()) // 2)

    @invariant()
    def every_ejected_server_is_probed_and_no_other(self) -> None:
        for replica in self._known():
            assert not replica.slow or replica.ejected
            assert replica.probe is None or not replica.probe.done()

    def _known(self) -> list[Replica]:
        return self.pool._replicas if hasattr(self, "pool") else []

    def _all(self) -> list[Replica]:
        return list(self.replicas.values()) if hasattr(self, "pool") else []

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        for url in _URLS:
            self.states[url] = State.WELL
        self.pass_time(_BACK_WITHIN_S)
        assert self.pool.ejected == 0
        for read in self.reads:
            read.cancel()
        self.pass_time(1.0)
        assert self.reads == []
        self.loop.run_until_complete(self.pool.close())
        self.a_server_that_was_let_go_gets_neither_reads_nor_probes()
        self.loads_are_never_negative()
        assert [(replica.in_flight, replica.slots_taken) for replica in self._all()] == [(0, 0)] * len(self.replicas)
        assert sum(server.under_way for server in self.servers) == 0
        self.loop.close()


TestPool = PoolModel.TestCase
TestPool.settings = settings(
    max_examples=int(os.environ.get("POOL_EXAMPLES", "60")), stateful_step_count=40, deadline=None
)
