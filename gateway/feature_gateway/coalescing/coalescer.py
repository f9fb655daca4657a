"""Concurrent calls for one feature set become one read.

A call that finds a slot free goes at once, alone: at low load nothing waits, and there is no timer. While all slots are
busy, calls for the same feature set with the same authorization gather, and leave together when a slot frees, up to a
maximum batch, first come first served, equal user ids asked once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from statistics import median

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.coalescing.batch import Batch, Group, Rows, Waiter
from feature_gateway.coalescing.call_queue import CallQueue
from feature_gateway.contract.model import FeatureSet
from feature_gateway.errors import DeadlineExceededError, GatewayError, RejectedUpstreamError, UpstreamUnavailableError
from feature_gateway.observer import Observer
from feature_gateway.reads import Reader, Served

# The median of this many counts, so that one slow read, such as a server's first, does not cause refusals.
_SERVICE_TIMES_KEPT = 9
_RETRY_AFTER_STEP_S = 0.01
# In the first turn the task makes the request, in the second aiohttp writes it (Python 3.11; later ones need one).
_TURNS_TO_SEND_A_READ = 2


class Coalescer:
    """Merges calls for single users into reads of many; belongs to one event loop."""

    def __init__(
        self,
        reader: Reader,
        *,
        slots: Callable[[], int],
        max_read_users: int,
        max_queued: int,
        observer: Observer | None = None,
    ) -> None:
        """Create a coalescer that reads from `reader`; `slots` returns how many reads may be in flight.

        `max_read_users` is in distinct users, `max_queued` in calls that wait for a slot.
        """
        self._reader = reader
        self._slots = slots
        self._max_read_users = max_read_users
        self._max_queued = max_queued
        self._observer = observer or Observer()
        self._queue = CallQueue()
        self._reading: set[Batch] = set()
        """Batches that hold a slot."""
        self._batches: set[Batch] = set()
        """Batches that hold a slot, and batches whose rows are being handed out."""
        self._service_times_s: deque[float] = deque(maxlen=_SERVICE_TIMES_KEPT)
        self._service_time_s = 0.0

    @property
    def queued(self) -> int:
        """How many calls wait for a slot."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """How many reads are in flight."""
        return len(self._reading)

    async def user_row(self, feature_set: FeatureSet, user_id: str, *, authorization: str, timeout_s: float) -> Served:
        """Return one user's row.

        Raises DeadlineExceededError after `timeout_s`, and what the reader raises. Raises GatewayError (OVERLOADED) at
        once if the queue is full, or if recent reads say that the deadline can't be met. A read that nobody waits for
        any more is cancelled.
        """
        group = Group(feature_set, authorization)
        self._refuse_overload(group, timeout_s)
        (waiter,) = self._enqueue(group, [user_id], timeout_s)
        return await self._answer(group, waiter)

    async def user_rows(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, authorization: str, timeout_s: float
    ) -> list[Served | RejectedUpstreamError]:
        """Return the rows of many users, in order, with the error of each whom the reader rejects.

        They are read in parts, one after another, each at most half of the largest read, so that calls for single users
        find room in the same reads and wait for at most one part. Otherwise raises as `user_row` does.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        group = Group(feature_set, authorization)
        part_size = max(1, self._max_read_users // 2)
        served: list[Served | RejectedUpstreamError] = []
        for start in range(0, len(user_ids), part_size):
            left_s = deadline - loop.time()
            self._refuse_overload(group, left_s)
            waiters = self._enqueue(group, user_ids[start : start + part_size], left_s)
            answers = await asyncio.gather(*(self._answer(group, waiter) for waiter in waiters), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, BaseException) and not isinstance(answer, RejectedUpstreamError):
                    raise answer
                served.append(answer)
        return served

    def _enqueue(self, group: Group, user_ids: Sequence[str], timeout_s: float) -> list[Waiter]:
        """Queue calls that may leave together, and let leave what can."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiters = [Waiter(user_id, now + timeout_s, now, loop.create_future()) for user_id in user_ids]
        self._queue.add(group, waiters)
        self._dispatch(now)
        return waiters

    async def _answer(self, group: Group, waiter: Waiter) -> Served:
        timer = asyncio.get_running_loop().call_at(waiter.deadline, self._expire, group, waiter)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._leave(group, waiter)
            raise
        finally:
            timer.cancel()

    async def close(self) -> None:
        """Cancel every read in flight; their callers get UNAVAILABLE."""
        tasks = [batch.task for batch in self._batches if batch.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_overload(self, group: Group, timeout_s: float) -> None:
        slots = self._slots()
        if len(self._reading) < slots:
            return
        reads_before = max(self._queue.groups_beside(group), len(self._queue) // self._max_read_users)
        # The read in flight, the reads ahead in the queue, and the call's own. If more calls were admitted, reads would
        # end after their callers' deadlines, for nobody.
        wait_s = self._service_time_s * (reads_before / slots + 2)
        if len(self._queue) >= self._max_queued or wait_s > timeout_s:
            self._observer.call_refused()
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                "The gateway has more calls than it can answer in time; try again later.",
                # In whole steps, so that refusals are equal and their statuses can be cached.
                retry_after_s=max(ceil(wait_s / _RETRY_AFTER_STEP_S), 1) * _RETRY_AFTER_STEP_S,
            )

    def _expire(self, group: Group, waiter: Waiter) -> None:
        if not waiter.future.done():
            waiter.future.set_exception(
                DeadlineExceededError("The deadline passed before the feature server had answered.")
            )
            # A read in flight ends at the last of its deadlines, and is then known to have been too slow.
            if waiter.batch is None:
                self._queue.remove(group, waiter)

    def _leave(self, group: Group, waiter: Waiter) -> None:
        """Remove a waiter that gave up from the queue; cancel a read that nobody waits for any more."""
        if waiter.batch is None:
            # A deadline that has just passed has removed it already.
            if waiter.future.cancelled():
                self._queue.remove(group, waiter)
        elif not waiter.batch.wanted and waiter.batch.task is not None:
            waiter.batch.task.cancel()

    def _dispatch(self, now: float) -> bool:
        """Start reads while calls wait and slots are free; return whether any was started."""
        any_started = False
        while self._queue and len(self._reading) < self._slots():
            batch = self._queue.take_batch(self._max_read_users, now)
            self._reading.add(batch)
            self._batches.add(batch)
            batch.task = asyncio.create_task(self._run(batch))
            # Not a `finally` in the task: a task that is cancelled ahead of its first step never reaches it.
            batch.task.add_done_callback(partial(self._finish, batch))
            self._observer.read_started(users=len(batch.waiters), queue_s=batch.queue_times_s)
            any_started = True
        return any_started

    async def _run(self, batch: Batch) -> None:
        user_ids = list(batch.waiters)
        try:
            rows = await self._read(batch, user_ids)
            await self._free_slot(batch)
            batch.hand_out(user_ids, rows)
        except RejectedUpstreamError as error:
            await self._isolate(batch, user_ids, error)
        except Exception as error:  # noqa: BLE001  # handed to the callers, whose boundary tells them
            batch.fail(user_ids, error)

    async def _free_slot(self, batch: Batch) -> None:
        """Send the next read ahead of handing out this read's rows: making replies takes as long as a read."""
        self._reading.discard(batch)
        if self._dispatch(asyncio.get_running_loop().time()):
            for _ in range(_TURNS_TO_SEND_A_READ):
                await asyncio.sleep(0)

    def _finish(self, batch: Batch, task: "asyncio.Task[None]") -> None:
        """Drop a batch, and free its slot if it still holds one."""
        if task.cancelled():
            # Because its last waiter left, or by `close`.
            batch.fail(batch.waiters, UpstreamUnavailableError("The gateway is ending."))
        self._batches.discard(batch)
        self._reading.discard(batch)
        self._dispatch(task.get_loop().time())

    async def _isolate(self, batch: Batch, user_ids: list[str], error: RejectedUpstreamError) -> None:
        """Read the users of a rejected read again, in halves, until the bad user id is alone."""
        if len(user_ids) == 1:
            batch.fail(user_ids, error)
            return
        middle = len(user_ids) // 2
        for half in (user_ids[:middle], user_ids[middle:]):
            try:
                batch.hand_out(half, await self._read(batch, half))
            except RejectedUpstreamError as rejection:
                await self._isolate(batch, half, rejection)
            except GatewayError as failure:
                batch.fail(half, failure)

    async def _read(self, batch: Batch, user_ids: list[str]) -> Rows:
        """Return the rows of some users of a batch; raise what the reader raises, or that all of them are late."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeout_s = max(waiter.deadline for user_id in user_ids for waiter in batch.waiters[user_id]) - started
        if timeout_s <= 0:
            raise DeadlineExceededError("The deadline passed before the feature server was asked.")
        try:
            rows, report = await self._reader.read_rows(
                batch.group.feature_set, user_ids, authorization=batch.group.authorization, timeout_s=timeout_s
            )
        except GatewayError:
            self._observer.read_ended(loop.time() - started, answered=False)
            raise
        upstream_s = loop.time() - started
        self._observer.read_ended(upstream_s, answered=True)
        self._note_service_time(upstream_s)
        return Rows(rows, upstream_s, report)

    def _note_service_time(self, upstream_s: float) -> None:
        self._service_times_s.append(upstream_s)
        if len(self._service_times_s) == _SERVICE_TIMES_KEPT:
            self._service_time_s = median(self._service_times_s)
