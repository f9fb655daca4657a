"""Several feature servers as one: reads go to the least loaded replica, and an ejected replica is avoided.

A read that fails because a server or its store can't be reached is tried once more on another replica, within the
read's time and a retry budget. With hedging on, a read that takes longer than most recent reads is also sent to a
second replica, within a budget of its own, and the first answer wins.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import TransformationFailedError, UpstreamUnavailableError
from feature_gateway.observer import FeatureServerState, Observer
from feature_gateway.reads import ReadReport, RowsRead
from feature_gateway.upstream.budget import Budget
from feature_gateway.upstream.feature_server import FeatureServer
from feature_gateway.upstream.hedging import SlotHolders, first_success
from feature_gateway.upstream.read_times import ReadTimes
from feature_gateway.upstream.replica import FirstRead, Replica
from feature_gateway.upstream.slot import ReplicaSlot

_RETRY_SHARE = 0.1
_HEDGE_SHARE = 0.05
_TIMES_TO_HEDGE = 20
# As Envoy's max_ejection_percent, which ejects at least one server too.
_MOST_SLOW = 0.5


@dataclass(frozen=True, slots=True)
class _Read:
    """What is asked of whichever replica; the deadline is the event loop's, in seconds."""

    feature_set: FeatureSet
    keys: Sequence[RowKey]
    authorization: str
    deadline: float

    @property
    def left_s(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()


class ReplicaPool:
    """Reads from whichever replica is best; belongs to one event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connect: Callable[[str], FeatureServer],
        hedge: bool,
        reads_per_replica: int = 1,
        first_read: FirstRead | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Create a pool of the servers that `connect` makes of the URLs.

        `reads_per_replica` reads may be in flight on each. `first_read` is done on a server that is alive again, ahead
        of callers' reads.
        """
        self._connect = connect
        self._first_read = first_read
        self._hedge = hedge
        self._reads_per_replica = reads_per_replica
        self._observer = observer or Observer()
        self._replicas: list[Replica] = []
        self._act_on_free_slot: Callable[[], object] = lambda: None
        self._slot_holders = SlotHolders(self._slot)
        self._retry_budget = Budget(_RETRY_SHARE)
        self._hedge_budget = Budget(_HEDGE_SHARE)
        self.times = ReadTimes()
        self.set_urls(urls)

    @property
    def slots(self) -> int:
        """How many reads may be in flight: as many as the replicas in service may have, but at least one's."""
        # Asked for every call that waits: a list's count is a fraction of a generator's sum.
        return self._reads_per_replica * max(1, [replica.probe for replica in self._replicas].count(None))

    def take_slot(self) -> ReplicaSlot | None:
        """Return a slot of the least loaded replica in service; None while no replica has one free.

        If none is in service, an ejected replica's slot is returned: it may have come back since its last probe. Reads
        that hang on a replica that is ejected or was dropped take no slot of another.
        """
        candidates = [replica for replica in self._replicas if not replica.ejected] or self._replicas
        free = [replica for replica in candidates if replica.slots_taken < self._reads_per_replica]
        # Without replicas, a slot whose reads say so.
        return self._slot(_least_loaded(free)) if free or not candidates else None

    def when_slots_free(self, act: Callable[[], object]) -> None:
        """Have `act` called whenever a slot may have become free."""
        self._act_on_free_slot = act

    @property
    def slots_taken(self) -> int:
        """How many slots are in use."""
        return sum(replica.slots_taken for replica in self._replicas)

    @property
    def states(self) -> dict[str, FeatureServerState]:
        """What metrics say of each replica, by its server's URL."""
        return {replica.server.url: replica.state for replica in self._replicas}

    @property
    def ejected(self) -> int:
        """How many replicas are ejected."""
        return sum(replica.ejected for replica in self._replicas)

    @property
    def urls(self) -> list[str]:
        """The servers' URLs."""
        return [replica.server.url for replica in self._replicas]

    def set_urls(self, urls: Sequence[str]) -> None:
        """Add new servers and drop those not named; reads in flight on dropped servers continue."""
        known = {replica.server.url: replica for replica in self._replicas}
        for url, replica in known.items():
            if url not in urls:
                replica.retire()
        self._replicas = [known.get(url) or self._new_replica(url) for url in dict.fromkeys(urls)]
        slow = [replica for replica in self._replicas if replica.slow]
        # Those named first: any of them may be well again, and a server that is not is ejected again.
        for replica in slow[: max(0, len(slow) - self._most_slow)]:
            replica.restore()
        self._slot_freed()

    async def close(self) -> None:
        """End all probes, and hedged reads that nobody waits for."""
        await self._slot_holders.close()
        await asyncio.gather(*(replica.close() for replica in self._replicas))

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[RowsRead, ReadReport]:
        """Return one row a key, in order, and how they were read.

        Raises DeadlineExceededError after `timeout_s`, UpstreamUnavailableError when no server answers, and what an
        unsuccessful answer means.
        """
        return await self._read(None, feature_set, keys, authorization, timeout_s)

    async def _read(
        self,
        slot: ReplicaSlot | None,
        feature_set: FeatureSet,
        keys: Sequence[RowKey],
        authorization: str,
        timeout_s: float,
    ) -> tuple[RowsRead, ReadReport]:
        """Read from a slot's replica; from the best one without a slot. A read that is tried again moves its slot."""
        read = _Read(feature_set, keys, authorization, asyncio.get_running_loop().time() + timeout_s)
        self._retry_budget.earn()
        self._hedge_budget.earn()
        # A slot that was taken while there was no replica stays without one: its read would count nowhere.
        first = self._best() if slot is None else slot.replica
        if first is None:
            raise UpstreamUnavailableError("No feature server is known.")
        try:
            rows, hedged = await self._read_hedged(first, read)
            return rows, ReadReport(hedged=hedged)
        except UpstreamUnavailableError:
            second = self._best(other_than=first)
            if second is None or read.left_s <= 0 or not self._retry_budget.spend():
                raise
            self._observer.read_retried()
            if slot is not None:
                slot.move_to(second)
            return await self._read_from(second, read), ReadReport(retried=True)

    async def read_from_each(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> None:
        """Read the same from every replica that is not ejected, one after another.

        Raises the first failure, DeadlineExceededError after `timeout_s` of any of them, and UpstreamUnavailableError
        when there is none.
        """
        in_service = [replica for replica in self._replicas if not replica.ejected]
        if not in_service:
            raise UpstreamUnavailableError("No feature server is known that is not ejected.")
        for replica in in_service:
            # That a function fails for the row is an answer.
            with suppress(TransformationFailedError):
                await replica.read_rows(feature_set, keys, authorization=authorization, timeout_s=timeout_s)

    def _new_replica(self, url: str) -> Replica:
        return Replica(
            self._connect(url),
            first_read=self._first_read,
            observer=self._observer,
            times=self.times,
            may_eject_slow=lambda: sum(replica.slow for replica in self._replicas) < self._most_slow,
            restored=self._slot_freed,
        )

    def _slot(self, replica: Replica | None) -> ReplicaSlot:
        return ReplicaSlot(replica, read=self._read, freed=self._slot_freed, answered=self.times.answered)

    def _slot_freed(self) -> None:
        self._act_on_free_slot()

    @property
    def _most_slow(self) -> int:
        """How many replicas may be ejected for slowness: more of them would say that something else is slow."""
        return max(1, int(len(self._replicas) * _MOST_SLOW))

    def _best(self, *, other_than: Replica | None = None, or_ejected: bool = True) -> Replica | None:
        """Return the least loaded replica other than `other_than`, of several in turn; None if there is none.

        If all of them are ejected, one is returned if `or_ejected`: it may have come back since its last probe.
        """
        others = [replica for replica in self._replicas if replica is not other_than]
        candidates = [replica for replica in others if not replica.ejected] or (others if or_ejected else [])
        return _least_loaded(candidates)

    async def _read_from(self, replica: Replica, read: _Read) -> RowsRead:
        return await replica.read_rows(
            read.feature_set, read.keys, authorization=read.authorization, timeout_s=read.left_s
        )

    async def _read_hedged(self, first: Replica, read: _Read) -> tuple[RowsRead, bool]:
        """Return the rows, and whether a second replica was asked."""
        patience_s = self._patience_s()
        if patience_s is None or patience_s >= read.left_s:
            return await self._read_from(first, read), False
        task = asyncio.create_task(self._read_from(first, read))
        tasks = {task}
        try:
            done, _ = await asyncio.wait(tasks, timeout=patience_s)
            second = None if done else self._best(other_than=first, or_ejected=False)
            if second is not None and self._hedge_budget.spend():
                self._observer.read_hedged()
                hedge = asyncio.create_task(self._read_from(second, read))
                self._slot_holders.hold(second, hedge)
                tasks.add(hedge)
            rows = await first_success(tasks)
        except BaseException:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        if not task.done():
            self._slot_holders.hold(first, task)
        return rows, len(tasks) > 1

    def _patience_s(self) -> float | None:
        """Return after how long a read is hedged; None when it is not."""
        if not self._hedge or len(self._replicas) < 2 or len(self.times) < _TIMES_TO_HEDGE:  # noqa: PLR2004
            return None
        return self.times.slow_s


def _least_loaded(replicas: Sequence[Replica]) -> Replica | None:
    """Return the replica with the fewest reads in flight, of several in turn; None of none."""
    return min(replicas, key=lambda replica: (replica.in_flight, replica.latest_read_s), default=None)
