"""A server is ejected for slowness only by reads that had a fair time, and at most half of the servers are."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import DeadlineExceededError
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import Row
from own_time import in_own_time
from row_fakes import row_of_text

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
_BOUND_S = 20


@dataclass
class SlowServer(FeatureServer):
    """Answers after a time, or not before a test lets it; its process always says that it is alive, or never."""

    url: str
    takes_s: float = 0.005
    gone: bool = False
    lives: bool = False
    reads: int = 0
    revived: asyncio.Event = field(default_factory=asyncio.Event)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Row]:
        del feature_set, authorization
        self.reads += 1
        if self.gone:
            raise ServerUnreachableError("gone")
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(self.takes_s)
        except TimeoutError as error:
            raise DeadlineExceededError("late") from error
        return [row_of_text(self.url) for _ in keys]

    async def alive(self, *, timeout_s: float) -> bool:
        del timeout_s
        if self.lives:
            self.revived.set()
        return self.lives


@asynccontextmanager
async def _pool(count: int) -> AsyncIterator[tuple[ReplicaPool, list[SlowServer]]]:
    # The time is not 0, which stands for a server that was never read from.
    await asyncio.sleep(1)
    servers = {f"s{number}": SlowServer(f"s{number}") for number in range(count)}
    pool = ReplicaPool(tuple(servers), connect=servers.__getitem__, hedge=False)
    yield pool, list(servers.values())
    await pool.close()


async def _have_two_ejected(pool: ReplicaPool, servers: list[SlowServer]) -> None:
    for server in servers[:2]:
        server.takes_s = _BOUND_S
    for _ in range(12):
        await _late(pool, timeout_s=0.02)
    assert pool.ejected == 2


async def _late(pool: ReplicaPool, *, timeout_s: float) -> bool:
    try:
        await pool.read_rows(_SET, [("u",)], authorization="", timeout_s=timeout_s)
    except DeadlineExceededError:
        return True
    return False


@pytest.mark.parametrize("reads_before", [0, 8, 40])
@in_own_time
async def test_deadlines_shorter_than_any_read_eject_no_server(reads_before: int) -> None:
    async with _pool(4) as (pool, _):
        for _ in range(reads_before):
            assert not await _late(pool, timeout_s=_BOUND_S)
        assert all([await _late(pool, timeout_s=0.001) for _ in range(13)])
        assert pool.ejected == 0


@pytest.mark.parametrize("reads_before", [0, 40])
@in_own_time
async def test_a_frozen_server_is_ejected_by_three_reads_that_had_a_fair_time(reads_before: int) -> None:
    async with _pool(2) as (pool, (frozen, _)):
        for _ in range(reads_before):
            await _late(pool, timeout_s=_BOUND_S)
        frozen.takes_s, frozen.reads = _BOUND_S, 0
        assert sum([await _late(pool, timeout_s=0.1) for _ in range(10)]) == frozen.reads == 3
        assert pool.ejected == 1


@in_own_time
async def test_a_frozen_server_is_ejected_though_most_callers_are_in_haste() -> None:
    async with _pool(2) as (pool, (frozen, _)):
        for _ in range(40):
            await _late(pool, timeout_s=_BOUND_S)
        frozen.takes_s = _BOUND_S
        hasty = patient = 0
        while not pool.ejected:
            hasty += await _late(pool, timeout_s=0.001)
            # As canary reads are.
            patient += sum([await _late(pool, timeout_s=0.1) for _ in range(2)])
            assert patient <= 3
        assert hasty


@in_own_time
async def test_reads_as_slow_as_ever_do_not_eject_a_server_whose_callers_give_them_less() -> None:
    async with _pool(2) as (pool, servers):
        for server in servers:
            server.takes_s = 0.02
        for _ in range(10):
            await _late(pool, timeout_s=_BOUND_S)
        assert all([await _late(pool, timeout_s=0.015) for _ in range(10)])
        assert pool.ejected == 0


@pytest.mark.parametrize(("count", "ejected"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)])
@in_own_time
async def test_at_most_half_of_the_servers_are_ejected_for_slowness_and_at_least_one(count: int, ejected: int) -> None:
    async with _pool(count) as (pool, servers):
        for server in servers:
            server.takes_s = _BOUND_S
        assert all([await _late(pool, timeout_s=0.006) for _ in range(8 * count)])
        assert pool.ejected == ejected


@in_own_time
async def test_servers_that_refuse_connections_are_ejected_beyond_half() -> None:
    async with _pool(4) as (pool, servers):
        await _have_two_ejected(pool, servers)
        servers[2].gone = True
        assert not await _late(pool, timeout_s=_BOUND_S)
        assert pool.ejected == 3


@in_own_time
async def test_servers_that_leave_take_no_more_than_half_of_the_rest_out_of_service() -> None:
    async with _pool(4) as (pool, servers):
        await _have_two_ejected(pool, servers)
        pool.set_urls(["s0", "s1", "s2"])
        assert pool.ejected == 1


@in_own_time
async def test_a_frozen_server_that_had_to_stay_is_ejected_once_the_other_is_back() -> None:
    async with _pool(2) as (pool, (first, second)):
        first.takes_s = second.takes_s = _BOUND_S
        for _ in range(16):
            assert await _late(pool, timeout_s=0.006)
        assert pool.ejected == 1
        first.takes_s, first.lives = 0.0, True
        async with asyncio.timeout(_BOUND_S):
            await first.revived.wait()
        # The probe goes on from there in the loop's next rounds.
        for _ in range(5):
            await asyncio.sleep(0)
        assert sum([await _late(pool, timeout_s=0.02) for _ in range(8)]) == 1
        assert pool.ejected == 1


@in_own_time
async def test_a_server_that_joins_takes_turns_with_the_others() -> None:
    async with _pool(3) as (pool, servers):
        pool.set_urls(["s0", "s1"])
        for _ in range(20):
            await _late(pool, timeout_s=_BOUND_S)
        pool.set_urls(["s0", "s1", "s2"])
        for _ in range(6):
            await _late(pool, timeout_s=_BOUND_S)
        assert [server.reads for server in servers] == [12, 12, 2]
