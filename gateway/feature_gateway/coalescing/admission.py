"""Refuses calls that could not be answered in time."""

from math import ceil

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.coalescing.batch import Group
from feature_gateway.coalescing.batch_reads import BatchReads
from feature_gateway.coalescing.call_queue import CallQueue
from feature_gateway.errors import GatewayError
from feature_gateway.reads import SlotSource

_RETRY_AFTER_STEP_S = 0.01


class Admission:
    """Judges calls that have to wait by what waits ahead of them, and by how long recent reads took."""

    def __init__(self, queue: CallQueue, reads: BatchReads, source: SlotSource) -> None:
        """Create it for calls that wait in a queue for slots of `source`."""
        self._queue = queue
        self._reads = reads
        self._source = source

    def refusal(self, group: Group, count: int, timeout_s: float) -> GatewayError | None:
        """Return why calls of a group are not to wait: the queue is full, or they would be late; None if they are."""
        # The read in flight, the reads ahead in the queue, and the calls' own. If more calls were admitted, reads would
        # end after their callers' deadlines, for nobody.
        own = ceil(count / self._queue.most_rows(group, alone=True))
        reads = (self._queue.reads_ahead(group) + own - 1) / self._source.slots + 2
        wait_s = self._reads.times.of_reads_s(reads)
        if wait_s <= timeout_s and self._queue.has_room(group, count):
            return None
        return GatewayError(
            ErrorReason.ERROR_REASON_OVERLOADED,
            "The gateway has more calls than it can answer in time; try again later.",
            # In whole steps, so that refusals are equal and their statuses can be cached.
            retry_after_s=max(ceil(wait_s / _RETRY_AFTER_STEP_S), 1) * _RETRY_AFTER_STEP_S,
        )
