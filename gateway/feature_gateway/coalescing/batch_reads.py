"""The reads of one batch: all of its rows, or halves of them until a rejected row is alone; times are in seconds."""

import asyncio
from collections.abc import Callable

from feature_gateway.coalescing.batch import Batch, Group, Rows
from feature_gateway.coalescing.service_times import ServiceTimes
from feature_gateway.contract.columns import RowKey
from feature_gateway.errors import DeadlineExceededError, GatewayError, RejectedRowError
from feature_gateway.observer import Observer
from feature_gateway.tracing.current import reading

# A read gets this much time and this many times the usual one, however soon its callers leave. Shorter, and a server
# that is late would get more reads than it has slots; longer, and a lost read would keep its slot.
_LEAST_PATIENCE_S = 0.25
_PATIENCE_SERVICE_TIMES = 10


class BatchReads:
    """Reads batches, and knows how long recent reads took."""

    def __init__(
        self, observer: Observer, *, answered: Callable[[Group], object], header_for: Callable[[str], str]
    ) -> None:
        """Create reads that tell `answered` the group of each read that succeeds.

        `header_for` returns the Authorization header of the reads for a caller.
        """
        self._header_for = header_for
        self._observer = observer
        self._answered = answered
        self.times = ServiceTimes()

    @property
    def patience_s(self) -> float:
        """How long a read goes on at least, though nobody waits for it any more."""
        return max(_LEAST_PATIENCE_S, _PATIENCE_SERVICE_TIMES * self.times.usual_s)

    async def read(self, batch: Batch, keys: list[RowKey]) -> Rows:
        """Return some rows of a batch; raise what the reader raises, or that all of them are late."""
        if not batch.traced:
            return await self._read(batch, keys)
        with reading(batch.askers_of(keys), rows=len(batch.rows_of(keys))):
            return await self._read(batch, keys)

    async def _read(self, batch: Batch, keys: list[RowKey]) -> Rows:
        loop = asyncio.get_running_loop()
        started = loop.time()
        left_s = max(waiter.deadline for key in keys for waiter in batch.waiters[key]) - started
        if left_s <= 0:
            raise DeadlineExceededError("The deadline passed before the feature server was asked.")
        timeout_s = max(left_s, self.patience_s)
        batch.read_started, batch.read_ends = started, started + timeout_s
        try:
            rows, report = await batch.slot.read_rows(
                batch.group.feature_set,
                batch.rows_of(keys),
                authorization=self._header_for(batch.group.caller_key),
                timeout_s=timeout_s,
            )
        except GatewayError:
            self._observer.read_ended(loop.time() - started, answered=False)
            raise
        upstream_s = loop.time() - started
        self._observer.read_ended(upstream_s, answered=True)
        self.times.add(upstream_s)
        self._answered(batch.group)
        return Rows(rows, upstream_s, report)

    async def isolate(self, batch: Batch, keys: list[RowKey], error: RejectedRowError) -> None:
        """Read the rows of a rejected read again, in halves, until the bad row is alone."""
        if len(keys) == 1:
            batch.fail(keys, error)
            return
        middle = len(keys) // 2
        for half in (keys[:middle], keys[middle:]):
            if not batch.waiting:
                return
            try:
                batch.hand_out(half, await self.read(batch, half))
            except RejectedRowError as rejection:
                await self.isolate(batch, half, rejection)
            except Exception as failure:  # noqa: BLE001  # handed to the callers, whose boundary tells them
                batch.fail(half, failure)
