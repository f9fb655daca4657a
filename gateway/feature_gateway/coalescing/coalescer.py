"""Concurrent calls for one feature set become one read.

A call that finds a slot free goes at once, alone: at low load nothing waits, and there is no timer. While all slots are
busy, calls for the same feature set and caller gather, and leave together when a slot frees, up to a
maximum batch, equal keys asked once. Within a group first come is first served; groups take turns.

A slot is free soon after its server is, not when the callers have left: a read that nobody waits for goes on until it
is answered or has had its patience.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from feature_gateway.coalescing.admission import Admission
from feature_gateway.coalescing.batch import Ask, Batch, Group, Waiter, units_of
from feature_gateway.coalescing.batch_reads import BatchReads
from feature_gateway.coalescing.call_queue import CallQueue
from feature_gateway.coalescing.deadlines import Deadlines
from feature_gateway.coalescing.gathered import Gathered
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError, OneRowError, RejectedRowError, UpstreamUnavailableError
from feature_gateway.observer import Observer
from feature_gateway.reads import Answers, Outcome, Served, Slot, SlotSource
from feature_gateway.tracing.current import current_call

_TURNS_TO_GATHER = 40


class Coalescer:
    """Merges calls for single rows into reads of many; belongs to one event loop."""

    def __init__(
        self,
        source: SlotSource,
        *,
        max_read_rows: int,
        max_queued: int,
        observer: Observer | None = None,
        header_for: Callable[[str], str] = str,
    ) -> None:
        """Create a coalescer that reads in the slots of `source`.

        `max_read_rows` is in distinct rows, `max_queued` in calls that wait for a slot. `header_for` returns the
        Authorization header of the reads for a caller; a caller is its own header unless it says otherwise.
        """
        self._source = source
        self._most_rows = max(1, min(max_read_rows, max_queued))
        self._part_rows = max(1, min(max_read_rows // 2, max_queued))
        self._observer = observer or Observer()
        self._queue = CallQueue(max_read_rows=max_read_rows, max_calls=max_queued)
        self._reads = BatchReads(self._observer, answered=self._queue.answered, header_for=header_for)
        self._reading: set[Batch] = set()
        """Batches that are being read."""
        self._batches: set[Batch] = set()
        """Batches that are being read or handed out, or after whose reads calls gather."""
        self._admission = Admission(self._queue, self._reads, source)
        self._deadlines = Deadlines(self._expire)
        self._closed = False
        source.when_slots_free(self._dispatch)

    @property
    def queued(self) -> int:
        """How many calls wait for a slot."""
        return len(self._queue)

    @property
    def queued_groups(self) -> int:
        """How many groups have calls that wait for a slot."""
        return self._queue.groups

    @property
    def in_flight(self) -> int:
        """How many reads are in flight."""
        return len(self._reading)

    async def row(self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float) -> Served:
        """Return the row of a key.

        Raises DeadlineExceededError after `timeout_s`, and what the reader raises. Raises GatewayError (OVERLOADED) at
        once if the queue is full, or if recent reads say that the deadline can't be met.
        """
        future: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        leave = self.ask(feature_set, key, caller_key=caller_key, timeout_s=timeout_s, outcome=future)
        try:
            (served,) = await future
        finally:
            leave()
        if isinstance(served, OneRowError):
            raise served
        return served

    def ask(
        self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float, outcome: Outcome
    ) -> Callable[[], None]:
        """Ask as `row` does; the answer or error goes to `outcome`, later. Return what ends the call, which must be."""
        units = units_of(feature_set, (key,))
        return partial(self._leave, self._ask(Group(feature_set, caller_key), units, (outcome,), timeout_s))

    async def rows(
        self,
        feature_set: FeatureSet,
        keys: Sequence[RowKey],
        *,
        caller_key: str,
        timeout_s: float,
        of_one_call: bool = True,
    ) -> list[Served | OneRowError]:
        """Return the rows of many keys, in order, or the error of one row.

        They are read in parts, one after another. While other calls wait, a part is at most half of the largest read:
        calls for single rows then find room in the same reads. If the feature set is read by whole calls, rows
        `of_one_call` are one read, with equal keys as often as given and its error as each row's; others are one read
        each. Otherwise raises as `row` does.
        """
        time = asyncio.get_running_loop().time
        deadline = time() + timeout_s
        group = Group(feature_set, caller_key)
        served: list[Served | OneRowError] = []
        rows_of_unit = len(keys) // max(1, len(units := units_of(feature_set, keys, of_one_call=of_one_call)))
        while units:
            part_rows = self._part_rows if self._queue else self._most_rows
            part, units = units[:part_rows], units[part_rows:]
            gathered = Gathered(len(part))
            ask = self._ask(group, part, gathered.places, deadline - time())
            try:
                answers = await gathered.future
            finally:
                self._leave(ask)
            for answer in answers:
                if isinstance(answer, OneRowError):
                    served.extend([answer] * rows_of_unit)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    served.extend(answer)
        return served

    async def close(self) -> None:
        """Cancel every read in flight; callers, also those in the queue, get UNAVAILABLE."""
        self._closed = True
        for waiter in [*self._queue.drain()]:
            if not waiter.outcome.done():
                waiter.outcome.set_exception(_ending())
        tasks = [batch.task for batch in self._batches if batch.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, group: Group, keys: Sequence[RowKey], outcomes: Sequence[Outcome], timeout_s: float) -> Ask:
        """Queue calls that may leave together, and let leave what can; the caller must `_leave`."""
        if self._closed:
            raise _ending()
        # While calls wait, no slot is free.
        slot = None if self._queue else self._source.take_slot()
        if slot is None:
            refusal = self._admission.refusal(group, len(keys), timeout_s)
            if refusal is not None:
                self._observer.call_refused()
                raise refusal
        now = asyncio.get_running_loop().time()
        deadline = now + timeout_s
        span = current_call.get()
        waiters = [Waiter(key, deadline, now, outcome, span) for key, outcome in zip(keys, outcomes, strict=True)]
        ask = Ask(group, waiters)
        ask.tick = self._deadlines.add(ask, deadline)
        self._queue.add(group, waiters)
        if slot is not None:
            try:
                self._start(slot)
                self._dispatch()
            except BaseException:
                self._leave(ask)
                raise
        return ask

    def _expire(self, ask: Ask) -> None:
        for waiter in ask.waiters:
            if not waiter.outcome.done():
                if self._queue.remove(ask.group, waiter):
                    self._observer.queue_timed_out()
                waiter.outcome.set_exception(
                    DeadlineExceededError("The deadline passed before the feature server had answered.")
                )

    def _leave(self, ask: Ask) -> None:
        """End calls, answered or not: what waits leaves the queue, and what is read for nobody is given up in time."""
        self._deadlines.drop(ask, ask.tick)
        for waiter in ask.waiters:
            waiter.outcome.cancel()
            if waiter.batch is None:
                # On a busy machine a caller's giving up can be heard ahead of the gateway's own timer.
                if self._queue.remove(ask.group, waiter) and asyncio.get_running_loop().time() >= waiter.deadline:
                    self._observer.queue_timed_out()
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
        self._observer.read_started(rows=len(batch.rows_of(batch.waiters)), queue_s=batch.queue_times_s)

    async def _run(self, batch: Batch) -> None:
        """Read and hand out; what is raised is for the calls that are left."""
        keys = list(batch.waiters)
        try:
            rows = await self._reads.read(batch, keys)
        except RejectedRowError as error:
            await self._reads.isolate(batch, keys, error)
            return
        self._reading.discard(batch)
        if len(self._queue) >= self._most_rows:
            # The server reads on while the answers are written.
            batch.slot.free()
            batch.hand_out(keys, rows)
            return
        batch.hand_out(keys, rows)
        await self._gather(batch)
        batch.slot.free()

    async def _gather(self, batch: Batch) -> None:
        """While calls wait, let those arrive that gRPC has received, for at most as long as the read took.

        A read costs as much as several rows of a read. gRPC hands over one call in each turn of the loop, so without
        these turns the next read would leave with the few calls that came during this read.
        """
        loop = asyncio.get_running_loop()
        until = 2 * loop.time() - batch.read_started
        for _ in range(_TURNS_TO_GATHER):
            if not 0 < len(self._queue) < self._most_rows or loop.time() >= until:
                return
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
