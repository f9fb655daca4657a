"""Concurrent calls for one feature set become one read.

A call that finds a slot free goes at once, alone: at low load nothing waits, and there is no timer. While all slots are
busy, calls for the same feature set with the same authorization gather, and leave together when a slot frees, up to a
maximum batch, equal keys asked once. Within a group first come is first served; groups take turns.

A slot is free when its server is, not when the callers have left: a read that nobody waits for goes on until it is
answered or has had its patience.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.coalescing.batch import Batch, Group, Waiter
from feature_gateway.coalescing.batch_reads import BatchReads
from feature_gateway.coalescing.call_queue import CallQueue
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import (
    DeadlineExceededError,
    GatewayError,
    OneRowError,
    RejectedRowError,
    UpstreamUnavailableError,
)
from feature_gateway.observer import Observer
from feature_gateway.reads import Served, Slot, SlotSource

_RETRY_AFTER_STEP_S = 0.01
# In the first turn the task makes the request, in the second aiohttp writes it (Python 3.11; later ones need one).
_TURNS_TO_SEND_A_READ = 2


@dataclass(frozen=True, slots=True)
class _Ask:
    """Calls of one group that one caller waits for."""

    group: Group
    waiters: Sequence[Waiter]
    timer: asyncio.TimerHandle


class Coalescer:
    """Merges calls for single rows into reads of many; belongs to one event loop."""

    def __init__(
        self, source: SlotSource, *, max_read_rows: int, max_queued: int, observer: Observer | None = None
    ) -> None:
        """Create a coalescer that reads in the slots of `source`.

        `max_read_rows` is in distinct rows, `max_queued` in calls that wait for a slot.
        """
        self._source = source
        self._part_rows = max(1, min(max_read_rows // 2, max_queued))
        self._observer = observer or Observer()
        self._queue = CallQueue(max_read_rows=max_read_rows, max_calls=max_queued)
        self._reads = BatchReads(self._observer, answered=self._queue.answered)
        self._reading: set[Batch] = set()
        """Batches that hold a slot."""
        self._batches: set[Batch] = set()
        """Batches that hold a slot, and batches whose rows are being handed out."""
        self._closed = False
        source.when_slots_free(self._dispatch)

    @property
    def queued(self) -> int:
        """How many calls wait for a slot."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """How many reads are in flight."""
        return len(self._reading)

    async def row(self, feature_set: FeatureSet, key: RowKey, *, authorization: str, timeout_s: float) -> Served:
        """Return the row of a key.

        Raises DeadlineExceededError after `timeout_s`, and what the reader raises. Raises GatewayError (OVERLOADED) at
        once if the queue is full, or if recent reads say that the deadline can't be met.
        """
        ask = self._ask(Group(feature_set, authorization), (key,), timeout_s)
        try:
            return await ask.waiters[0].future
        finally:
            self._leave(ask)

    async def rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Served | OneRowError]:
        """Return the rows of many keys, in order, or the error of one row.

        They are read in parts, one after another, each at most half of the largest read, so that calls for single rows
        find room in the same reads and wait for at most one part. Otherwise raises as `row` does.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        group = Group(feature_set, authorization)
        served: list[Served | OneRowError] = []
        for start in range(0, len(keys), self._part_rows):
            ask = self._ask(group, keys[start : start + self._part_rows], deadline - loop.time())
            try:
                answers = await asyncio.gather(*(waiter.future for waiter in ask.waiters), return_exceptions=True)
            finally:
                self._leave(ask)
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, OneRowError):
                    raise answer
                served.append(answer)
        return served

    async def close(self) -> None:
        """Cancel every read in flight; callers, also those in the queue, get UNAVAILABLE."""
        self._closed = True
        for waiter in self._queue.drain():
            if not waiter.future.done():
                waiter.future.set_exception(_ending())
        tasks = [batch.task for batch in self._batches if batch.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, group: Group, keys: Sequence[RowKey], timeout_s: float) -> _Ask:
        """Queue calls that may leave together, and let leave what can; the caller must `_leave`."""
        if self._closed:
            raise _ending()
        # While calls wait, no slot is free.
        slot = None if self._queue else self._source.take_slot()
        if slot is None:
            self._refuse_overload(group, len(keys), timeout_s)
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiters = [Waiter(key, now + timeout_s, now, loop.create_future()) for key in keys]
        ask = _Ask(group, waiters, loop.call_at(now + timeout_s, self._expire, group, waiters))
        self._queue.add(group, waiters)
        if slot is not None:
            try:
                self._start(slot)
                self._dispatch()
            except BaseException:
                self._leave(ask)
                raise
        return ask

    def _refuse_overload(self, group: Group, count: int, timeout_s: float) -> None:
        # The read in flight, the reads ahead in the queue, and the calls' own. If more calls were admitted, reads would
        # end after their callers' deadlines, for nobody.
        own = ceil(count / self._queue.most_rows(group, alone=True))
        reads = (self._queue.reads_ahead(group) + own - 1) / self._source.slots + 2
        wait_s = self._reads.service_time_s * reads
        if wait_s > timeout_s or not self._queue.has_room(group, count):
            self._observer.call_refused()
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                "The gateway has more calls than it can answer in time; try again later.",
                # In whole steps, so that refusals are equal and their statuses can be cached.
                retry_after_s=max(ceil(wait_s / _RETRY_AFTER_STEP_S), 1) * _RETRY_AFTER_STEP_S,
            )

    def _expire(self, group: Group, waiters: Sequence[Waiter]) -> None:
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(
                    DeadlineExceededError("The deadline passed before the feature server had answered.")
                )
                self._queue.remove(group, waiter)

    def _leave(self, ask: _Ask) -> None:
        """End calls, answered or not: what waits leaves the queue, and what is read for nobody is given up in time."""
        ask.timer.cancel()
        for waiter in ask.waiters:
            waiter.future.cancel()
            if waiter.batch is None:
                self._queue.remove(ask.group, waiter)
                continue
            waiter.batch.waiting -= 1
            if not waiter.batch.waiting:
                self._give_up_in_time(waiter.batch)

    def _give_up_in_time(self, batch: Batch) -> None:
        """Cancel a read that nobody waits for any more once it has had its patience."""
        if batch in self._reading and batch.task is not None:
            loop = asyncio.get_running_loop()
            given_up = max(loop.time(), batch.read_started + self._reads.patience_s)
            if given_up < batch.read_ends:
                loop.call_at(given_up, batch.task.cancel)

    def _dispatch(self) -> None:
        """Start reads while calls wait and slots are free."""
        while self._queue and (slot := self._source.take_slot()) is not None:
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        """Start the read whose turn it is."""
        batch = self._queue.take_batch(slot, asyncio.get_running_loop().time())
        self._reading.add(batch)
        self._batches.add(batch)
        batch.task = asyncio.create_task(self._run(batch))
        # Not a `finally` in the task: a task that is cancelled ahead of its first step never reaches it.
        batch.task.add_done_callback(lambda task: self._finish(batch, task))
        self._observer.read_started(rows=len(batch.waiters), queue_s=batch.queue_times_s)

    async def _run(self, batch: Batch) -> None:
        """Read and hand out; what is raised is for the calls that are left."""
        keys = list(batch.waiters)
        try:
            rows = await self._reads.read(batch, keys)
        except RejectedRowError as error:
            await self._reads.isolate(batch, keys, error)
            return
        await self._free_slot(batch)
        batch.hand_out(keys, rows)

    async def _free_slot(self, batch: Batch) -> None:
        """Send the next read ahead of handing out this read's rows: making replies takes as long as a read."""
        self._reading.discard(batch)
        under_way = len(self._reading)
        batch.slot.free()
        if len(self._reading) > under_way:
            for _ in range(_TURNS_TO_SEND_A_READ):
                await asyncio.sleep(0)

    def _finish(self, batch: Batch, task: "asyncio.Task[None]") -> None:
        """Drop a batch, fail the calls that it left, and free its slot if it still holds one."""
        self._batches.discard(batch)
        self._reading.discard(batch)
        # Cancelled by `close`, or because its last waiter left.
        error = _ending() if task.cancelled() else task.exception()
        if error is not None:
            batch.fail(batch.waiters, error)
        batch.slot.free()


def _ending() -> UpstreamUnavailableError:
    return UpstreamUnavailableError("The gateway is ending.")
