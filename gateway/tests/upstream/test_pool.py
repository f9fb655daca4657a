"""Several feature servers: the least loaded is read from, a broken one costs no call."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import DeadlineExceededError, GatewayError, UpstreamUnavailableError
from feature_gateway.reads import RowsRead
from feature_gateway.upstream.budget import Budget
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import Row
from row_fakes import row_of_text, values_of
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
_BOUND_S = 20


def _is_mismatch(error: GatewayError) -> bool:
    return error.reason == ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH


@dataclass
class FakeServer(FeatureServer):
    """Answers at once with its own URL as the value, or as a test tells it to."""

    url: str
    failure: Exception | None = None
    hangs: bool = False
    lives: bool = True
    reads: int = 0
    revived: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Row]:
        del feature_set, authorization
        self.reads += 1
        if self.hangs:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.Event().wait()
            except TimeoutError as error:
                raise DeadlineExceededError("late") from error
        if self.failure is not None:
            raise self.failure
        return [row_of_text(self.url) for _ in keys]

    async def alive(self, *, timeout_s: float) -> bool:
        del timeout_s
        if self.lives:
            self.revived.set()
        return self.lives


def _value(rows: RowsRead) -> str:
    (row,) = rows
    assert isinstance(row, Row)
    return str(values_of(row)[0])


@dataclass
class Fleet:
    """Fake servers behind a pool."""

    servers: dict[str, FakeServer]
    pool: ReplicaPool

    async def read(self, *, timeout_s: float = _BOUND_S) -> tuple[str, bool, bool]:
        rows, report = await self.pool.read_rows(_SET, [("u",)], authorization="", timeout_s=timeout_s)
        return _value(rows), report.retried, report.hedged


def _fleet(*urls: str, hedge: bool = False) -> Fleet:
    servers: dict[str, FakeServer] = {}

    def connect(url: str) -> FakeServer:
        servers[url] = FakeServer(url)
        return servers[url]

    return Fleet(servers, ReplicaPool(urls, connect=connect, hedge=hedge))


def test_there_are_as_many_slots_as_the_servers_may_have_reads() -> None:
    servers = ["a", "b", "c"]
    assert _fleet(*servers).pool.slots == 3
    twice = ReplicaPool(servers, connect=FakeServer, hedge=False, reads_per_replica=2)
    assert twice.slots == 6


@pytest.fixture
async def pair() -> AsyncIterator[Fleet]:
    fleet = _fleet("a", "b")
    yield fleet
    await fleet.pool.close()


async def test_reads_are_spread_over_the_servers(pair: Fleet) -> None:
    assert pair.pool.slots == 2
    assert sorted([(await pair.read())[0] for _ in range(4)]) == ["a", "a", "b", "b"]


async def test_the_less_loaded_server_is_read_from(pair: Fleet) -> None:
    pair.servers["a"].hangs = pair.servers["b"].hangs = True
    stuck = asyncio.create_task(pair.read())
    await asyncio.sleep(0)
    busy = next(url for url, server in pair.servers.items() if server.reads)
    for server in pair.servers.values():
        server.hangs = False
    answers = {(await pair.read())[0] for _ in range(5)}
    assert answers == {"a", "b"} - {busy}
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_read_that_breaks_is_tried_on_another_server_and_said_so(pair: Fleet) -> None:
    pair.servers["a"].failure = ServerUnreachableError("gone")
    pair.servers["a"].lives = False
    answers = [await pair.read() for _ in range(10)]
    assert {url for url, _, _ in answers} == {"b"}
    assert sum(retried for _, retried, _ in answers) == 1
    # The server is ejected: no read is spent on it, and it is no slot.
    assert pair.servers["a"].reads == 1
    assert pair.pool.slots == 1


async def test_a_server_that_lives_again_is_probed_back_in(pair: Fleet) -> None:
    broken = pair.servers["a"]
    broken.failure, broken.lives = ServerUnreachableError("gone"), False
    while not broken.reads:
        await pair.read()
    broken.failure, broken.lives = None, True
    async with asyncio.timeout(_BOUND_S):
        await broken.revived.wait()
    # The probe goes on from there in the loop's next rounds.
    for _ in range(5):
        await asyncio.sleep(0)
    assert pair.pool.slots == 2
    assert {(await pair.read())[0] for _ in range(2)} == {"a", "b"}


async def test_a_server_that_answers_nothing_in_time_is_ejected_after_a_few(pair: Fleet) -> None:
    frozen = pair.servers["a"]
    frozen.hangs, frozen.lives = True, False
    late = 0
    for _ in range(20):
        try:
            await pair.read(timeout_s=0.01)
        except DeadlineExceededError:
            late += 1
    assert late == frozen.reads == 3
    assert pair.pool.slots == 1


async def test_with_every_server_ejected_reads_still_try() -> None:
    fleet = _fleet("a")
    server = fleet.servers["a"]
    server.failure, server.lives = ServerUnreachableError("gone"), False
    for _ in range(3):
        with pytest.raises(UpstreamUnavailableError):
            await fleet.read()
    server.failure = None
    assert (await fleet.read())[0] == "a"
    assert fleet.pool.slots == 1
    await fleet.pool.close()


async def test_a_server_that_came_back_unnoticed_answers_for_one_that_goes(pair: Fleet) -> None:
    back, gone = pair.servers["a"], pair.servers["b"]
    back.failure, back.lives = ServerUnreachableError("gone"), False
    while not back.reads:
        await pair.read()
    assert pair.pool.ejected == 1
    # Restarted in turn: the first lives again before any probe has seen it, and the second goes.
    back.failure, gone.failure, gone.lives = None, ServerUnreachableError("gone"), False
    assert [(await pair.read())[0] for _ in range(50)] == ["a"] * 50
    # What it answers brings it back in, so that none is tried on the other first any more.
    assert gone.reads <= 2
    assert pair.pool.ejected == 1


async def test_reads_that_hang_on_an_ejected_server_take_no_slot_of_the_others(pair: Fleet) -> None:
    hanging, other = pair.servers["a"], pair.servers["b"]
    hanging.hangs = other.hangs = True
    stuck = [asyncio.create_task(pair.read()) for _ in range(4)]
    await asyncio.sleep(0)
    assert (hanging.reads, other.reads) == (2, 2)
    hanging.hangs = other.hangs = False
    hanging.failure, hanging.lives = ServerUnreachableError("gone"), False
    assert await pair.read() == ("b", True, False)
    assert pair.pool.ejected == 1
    assert pair.pool.slots == 1
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    assert pair.pool.slots == 1


@pytest.mark.parametrize(
    ("failure", "reads"),
    [
        (None, 1),
        (DeadlineExceededError("not warm yet"), 2),
        (ServerUnreachableError("gone again"), 2),
        (UpstreamUnavailableError("Redis is down"), 1),
    ],
)
async def test_a_server_that_lives_again_is_first_read_from_by_no_caller(
    failure: GatewayError | None, reads: int
) -> None:
    failures = [failure]
    first_reads = 0
    probes: asyncio.Queue[None] = asyncio.Queue()

    async def first_read(server: FeatureServer) -> None:
        nonlocal first_reads
        first_reads += 1
        probes.put_nowait(None)
        assert server.url == "a"
        assert pool.ejected == 1
        if failures and (failed := failures.pop()):
            raise failed

    servers = {url: FakeServer(url) for url in ("a", "b")}
    pool = ReplicaPool(tuple(servers), connect=servers.__getitem__, hedge=False, first_read=first_read)
    fleet = Fleet(servers, pool)
    servers["a"].failure = ServerUnreachableError("gone")
    while not pool.ejected:
        await fleet.read()
    servers["a"].failure = None
    async with asyncio.timeout(_BOUND_S):
        while pool.ejected:
            await probes.get()
            # The probe goes on from there in the loop's next rounds.
            for _ in range(5):
                await asyncio.sleep(0)
    assert first_reads == reads
    await pool.close()


async def test_a_store_that_is_down_is_not_the_servers_fault_and_retries_stay_within_budget(pair: Fleet) -> None:
    for server in pair.servers.values():
        server.failure = UpstreamUnavailableError("Redis is down")
    for _ in range(200):
        with pytest.raises(UpstreamUnavailableError):
            await pair.read()
    assert pair.pool.slots == 2
    extra = sum(server.reads for server in pair.servers.values()) - 200
    # Ten saved up, then one for every ten reads.
    assert 10 < extra <= 10 + 20


async def test_what_no_server_can_help_is_not_tried_again(pair: Fleet) -> None:
    for server in pair.servers.values():
        server.failure = GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "other definitions")
    with pytest.raises(GatewayError, check=_is_mismatch):
        await pair.read()
    assert sum(server.reads for server in pair.servers.values()) == 1


async def test_a_read_from_each_asks_every_server_that_is_not_ejected_and_fails_with_any(pair: Fleet) -> None:
    async def read_from_each() -> None:
        await pair.pool.read_from_each(_SET, [("u",)], authorization="", timeout_s=_BOUND_S)

    await read_from_each()
    assert [server.reads for server in pair.servers.values()] == [1, 1]
    pair.servers["b"].failure = GatewayError(ErrorReason.ERROR_REASON_UPSTREAM_MISMATCH, "other definitions")
    with pytest.raises(GatewayError, check=_is_mismatch):
        await read_from_each()
    pair.servers["b"].failure, pair.servers["b"].lives = ServerUnreachableError("gone"), False
    with pytest.raises(UpstreamUnavailableError):
        await read_from_each()
    await read_from_each()
    assert pair.servers["b"].reads == 3
    pair.servers["a"].failure, pair.servers["a"].lives = ServerUnreachableError("gone"), False
    for _ in range(2):
        with pytest.raises(UpstreamUnavailableError):
            await read_from_each()
    # With none left nothing is tried: that all are ejected says enough.
    assert pair.servers["a"].reads == 5


async def test_a_server_that_was_let_go_keeps_no_slot_of_the_others(pair: Fleet) -> None:
    pair.servers["a"].hangs = pair.servers["b"].hangs = True
    hanging = pair.pool.take_slot()
    assert hanging is not None
    stuck = asyncio.create_task(hanging.read_rows(_SET, [("u",)], authorization="", timeout_s=600))
    await asyncio.sleep(0)
    (gone,) = (url for url, server in pair.servers.items() if server.reads)
    (stays,) = {"a", "b"} - {gone}
    pair.servers[stays].hangs = False
    pair.pool.set_urls([stays])
    assert pair.pool.slots == 1
    for _ in range(3):
        slot = pair.pool.take_slot()
        assert slot is not None
        assert pair.pool.take_slot() is None
        rows, _ = await slot.read_rows(_SET, [("u",)], authorization="", timeout_s=1)
        assert _value(rows) == stays
        slot.free()
        slot.free()
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    hanging.free()
    assert pair.pool.take_slot() is not None
    assert pair.pool.take_slot() is None


async def test_a_slot_is_told_of_when_it_is_freed_when_a_server_joins_and_when_one_returns(pair: Fleet) -> None:
    freed: asyncio.Queue[None] = asyncio.Queue()
    pair.pool.when_slots_free(lambda: freed.put_nowait(None))
    slot = pair.pool.take_slot()
    assert slot is not None
    slot.free()
    assert freed.qsize() == 1
    pair.pool.set_urls(["a", "b", "c"])
    assert freed.qsize() == 2
    pair.servers["a"].failure = ServerUnreachableError("gone")
    while not pair.pool.ejected:
        await pair.read()
    pair.servers["a"].failure = None
    async with asyncio.timeout(_BOUND_S):
        while pair.pool.ejected:
            await freed.get()


async def test_a_slot_goes_with_its_read_to_the_server_that_the_read_is_tried_on_again(pair: Fleet) -> None:
    slots = [pair.pool.take_slot(), pair.pool.take_slot()]
    assert None not in slots
    assert pair.pool.take_slot() is None
    for server in pair.servers.values():
        server.failure = UpstreamUnavailableError("Redis is down")
    first = slots[0]
    assert first is not None
    with pytest.raises(UpstreamUnavailableError):
        await first.read_rows(_SET, [("u",)], authorization="", timeout_s=1)
    # Both are on the second server now, and the first has room again.
    third = pair.pool.take_slot()
    assert third is not None
    assert pair.pool.take_slot() is None
    for slot in (*slots, third):
        assert slot is not None
        slot.free()
    assert [pair.pool.take_slot() is not None for _ in range(3)] == [True, True, False]


async def test_servers_come_and_go(pair: Fleet) -> None:
    pair.pool.set_urls(["b", "c"])
    assert pair.pool.urls == ["b", "c"]
    assert {(await pair.read())[0] for _ in range(4)} == {"b", "c"}
    pair.pool.set_urls([])
    with pytest.raises(UpstreamUnavailableError, match="No feature server"):
        await pair.read()


async def test_a_slow_read_is_hedged_and_the_first_answer_wins() -> None:
    fleet = _fleet("a", "b", hedge=True)
    for _ in range(40):
        assert (await fleet.read())[2] is False
    fleet.servers["a"].hangs = True
    answers = [await fleet.read() for _ in range(4)]
    assert {url for url, _, _ in answers} == {"b"}
    assert any(hedged for _, _, hedged in answers)
    # The slow server is busy until it has answered, whoever was faster.
    slot = fleet.pool.take_slot()
    assert slot is not None
    rows, _ = await slot.read_rows(_SET, [("u",)], authorization="", timeout_s=1)
    assert _value(rows) == "b"
    assert fleet.pool.take_slot() is None
    await fleet.pool.close()
    assert fleet.pool.take_slot() is not None


async def test_hedging_is_off_unless_asked_for(pair: Fleet) -> None:
    for _ in range(40):
        await pair.read()
    pair.servers["a"].hangs = pair.servers["b"].hangs = True
    with pytest.raises(DeadlineExceededError):
        await pair.read(timeout_s=0.05)
    assert sum(server.reads for server in pair.servers.values()) == 41


def test_a_budget_is_a_share_with_a_few_at_once() -> None:
    budget = Budget(0.1, limit=2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()
    assert 99 <= spent <= 100


async def test_a_read_that_had_no_server_takes_none_that_joins_meanwhile() -> None:
    server = FakeServer("a")
    pool = ReplicaPool((), connect=lambda _: server, hedge=False)
    slot = pool.take_slot()
    assert slot is not None
    pool.set_urls(["a"])
    with pytest.raises(UpstreamUnavailableError):
        await slot.read_rows(_SET, [("u",)], authorization="", timeout_s=_BOUND_S)
    assert server.reads == 0
    await pool.close()
