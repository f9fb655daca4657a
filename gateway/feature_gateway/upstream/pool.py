"""Several feature servers as one: the least loaded is read from, a broken one is set aside and probed back in.

It is back in once it lives and has answered a first read, which takes a fresh server ten times as long as those that
follow, or once a caller's read, for want of another server, was answered by it.

A read that fails because a server or its store can't be reached is tried once more on another server, within what is
left of its time and under a retry budget. With hedging on, a read that takes longer than most recent ones is also sent
to a second server, under a budget of its own, and the first answer wins.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from feature_gateway.contract.model import FeatureSet
from feature_gateway.errors import DeadlineExceededError, GatewayError, UpstreamUnavailableError
from feature_gateway.observer import Observer
from feature_gateway.reads import ReadReport
from feature_gateway.upstream.budget import Budget
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError
from feature_gateway.upstream.replica import Replica
from feature_gateway.values import UserRow

_RETRY_SHARE = 0.1
_HEDGE_SHARE = 0.05
_PROBE_TIMEOUT_S = 0.25
_FIRST_PROBE_S = 0.05
_LONGEST_PROBE_S = 0.5
_LATENCIES_KEPT = 200
_LATENCIES_NEEDED = 20
_HEDGE_QUANTILE = 0.95

FirstRead = Callable[[FeatureServer], Awaitable[object]]
"""Reads from a server that lives again; raises GatewayError."""


class ReplicaSet:
    """Reads from whichever feature server is best; belongs to one event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connect: Callable[[str], FeatureServer],
        hedge: bool,
        reads_per_server: int = 1,
        first_read: FirstRead | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Take the URLs, how a server is made of one, whether slow reads are hedged, and a server's reads at once.

        `first_read` is done on a server that lives again, before callers' are.
        """
        self._connect = connect
        self._first_read = first_read
        self._hedge = hedge
        self._reads_per_server = reads_per_server
        self._observer = observer or Observer()
        self._replicas: list[Replica] = []
        self._retry_budget = Budget(_RETRY_SHARE)
        self._hedge_budget = Budget(_HEDGE_SHARE)
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self.set_urls(urls)

    @property
    def slots(self) -> int:
        """How many reads may be under way: as many as the servers that are not set aside may have.

        What a server had under way when it was set aside, and may never answer, takes no place of another's.
        """
        # Asked several times a call: a list's count is a fraction of a generator's sum.
        in_service = [replica.probe for replica in self._replicas].count(None)
        if in_service == len(self._replicas) or not in_service:
            return self._reads_per_server * max(1, in_service)
        return self._reads_per_server * in_service + sum(
            replica.in_flight for replica in self._replicas if replica.aside
        )

    @property
    def set_aside(self) -> int:
        """How many servers are set aside."""
        return sum(replica.aside for replica in self._replicas)

    @property
    def urls(self) -> list[str]:
        """The servers' URLs."""
        return [replica.server.url for replica in self._replicas]

    def set_urls(self, urls: Sequence[str]) -> None:
        """Take in new servers and let go of those not named; reads under way on them go on."""
        known = {replica.server.url: replica for replica in self._replicas}
        for url, replica in known.items():
            if url not in urls and replica.probe is not None:
                replica.probe.cancel()
        self._replicas = [known.get(url) or Replica(self._connect(url)) for url in dict.fromkeys(urls)]

    async def close(self) -> None:
        """End all probes."""
        probes = [replica.probe for replica in self._replicas if replica.probe is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def read_rows(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, principal: str, timeout_s: float
    ) -> tuple[list[UserRow], ReadReport]:
        """Return one row a user, in order, and how they were read.

        Raises DeadlineExceededError after `timeout_s`, UpstreamUnavailableError when no server answers, and what an
        unsuccessful answer means.
        """

        def read(replica: Replica, left_s: float) -> Coroutine[Any, Any, list[UserRow]]:
            return self._read_from(
                replica, lambda: replica.server.read_rows(feature_set, user_ids, principal=principal, timeout_s=left_s)
            )

        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        self._retry_budget.earn()
        self._hedge_budget.earn()
        first = self._best()
        if first is None:
            raise UpstreamUnavailableError("No feature server is known.")
        try:
            rows, hedged = await self._read_hedged(first, read, deadline)
            return rows, ReadReport(hedged=hedged)
        except UpstreamUnavailableError:
            second = self._best(but=first)
            left_s = deadline - loop.time()
            if second is None or left_s <= 0 or not self._retry_budget.spend():
                raise
            self._observer.read_retried()
            return await read(second, left_s), ReadReport(retried=True)

    async def read_from_each(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, principal: str, timeout_s: float
    ) -> None:
        """Read the same from every server that is not set aside, one after another.

        Raises the first failure, DeadlineExceededError after `timeout_s` of any of them, and UpstreamUnavailableError
        when there is none.
        """
        replicas = [replica for replica in self._replicas if not replica.aside]
        if not replicas:
            raise UpstreamUnavailableError("No feature server is known that is not set aside.")
        for replica in replicas:
            read = replica.server.read_rows
            await self._read_from(
                replica, partial(read, feature_set, user_ids, principal=principal, timeout_s=timeout_s)
            )

    def _best(self, but: Replica | None = None, *, for_want: bool = True) -> Replica | None:
        """Return the least loaded server other than `but`; None if there is none.

        One that is set aside is returned for want of another, as it may have come back since its last probe.
        """
        others = [replica for replica in self._replicas if replica is not but]
        candidates = [replica for replica in others if not replica.aside] or (others if for_want else [])
        return min(candidates, key=lambda replica: (replica.in_flight, replica.reads), default=None)

    async def _read_from(
        self, replica: Replica, read: Callable[[], Coroutine[Any, Any, list[UserRow]]]
    ) -> list[UserRow]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for_want = replica.aside
        replica.in_flight += 1
        replica.reads += 1
        try:
            rows = await read()
        except GatewayError as error:
            if replica.failed(error):
                self._set_aside(replica)
            raise
        finally:
            replica.in_flight -= 1
        replica.answered()
        if for_want:
            replica.back_in_service()
        self._latencies_s.append(loop.time() - started)
        return rows

    async def _read_hedged(
        self,
        first: Replica,
        read: Callable[[Replica, float], Coroutine[Any, Any, list[UserRow]]],
        deadline: float,
    ) -> tuple[list[UserRow], bool]:
        """Return the rows, and whether a second server was asked."""
        loop = asyncio.get_running_loop()
        patience_s = self._patience_s()
        if patience_s is None or patience_s >= deadline - loop.time():
            return await read(first, deadline - loop.time()), False
        tasks = {asyncio.create_task(read(first, deadline - loop.time()))}
        try:
            done, _ = await asyncio.wait(tasks, timeout=patience_s)
            second = None if done else self._best(but=first, for_want=False)
            if second is not None and self._hedge_budget.spend():
                self._observer.read_hedged()
                tasks.add(asyncio.create_task(read(second, deadline - loop.time())))
            return await _first_success(tasks), len(tasks) > 1
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _patience_s(self) -> float | None:
        """Return after how long a read is hedged; None when it is not."""
        if not self._hedge or len(self._replicas) < 2 or len(self._latencies_s) < _LATENCIES_NEEDED:  # noqa: PLR2004
            return None
        return sorted(self._latencies_s)[int(len(self._latencies_s) * _HEDGE_QUANTILE)]

    def _set_aside(self, replica: Replica) -> None:
        if not replica.aside and replica in self._replicas:
            replica.probe = asyncio.create_task(self._probe(replica))
            self._observer.replica_set_aside()

    async def _probe(self, replica: Replica) -> None:
        """Ask a server that is set aside whether it lives and reads, ever less often, until it does."""
        pause_s = _FIRST_PROBE_S
        while True:
            await asyncio.sleep(pause_s)
            if await replica.server.alive(timeout_s=_PROBE_TIMEOUT_S) and await self._reads(replica.server):
                break
            pause_s = min(2 * pause_s, _LONGEST_PROBE_S)
        replica.back_in_service()

    async def _reads(self, server: FeatureServer) -> bool:
        """Do a server's first read, and return whether it was answered; what is not the server's fault is an answer."""
        if self._first_read is None:
            return True
        try:
            await self._first_read(server)
        except GatewayError as error:
            return not isinstance(error, DeadlineExceededError | ServerUnreachableError)
        return True


async def _first_success(tasks: set["asyncio.Task[list[UserRow]]"]) -> list[UserRow]:
    """Return the first result that is no exception; raise the last exception when all are."""
    waiting = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None or not waiting:
                return task.result()
