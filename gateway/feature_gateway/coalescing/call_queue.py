"""Calls that wait for a read: grouped by what may share one, first come first served; times are the event loop's."""

from collections import OrderedDict, deque
from collections.abc import Iterable

from feature_gateway.coalescing.batch import Batch, Group, Waiter


class CallQueue:
    """Keeps waiting calls by group, the groups in the order of their oldest call; its length is in calls."""

    def __init__(self) -> None:
        """Create an empty queue."""
        self._groups: OrderedDict[Group, deque[Waiter]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def groups_beside(self, group: Group) -> int:
        """Return how many other groups have calls waiting."""
        return len(self._groups) - (group in self._groups)

    def add(self, group: Group, waiters: Iterable[Waiter]) -> None:
        """Add calls behind all waiting calls."""
        queue = self._groups.setdefault(group, deque())
        before = len(queue)
        queue.extend(waiters)
        self._length += len(queue) - before

    def remove(self, group: Group, waiter: Waiter) -> None:
        """Remove a waiting call."""
        queue = self._groups[group]
        queue.remove(waiter)
        self._length -= 1
        if not queue:
            del self._groups[group]

    def take_batch(self, max_users: int, now: float) -> Batch:
        """Remove the oldest calls that may share a read; return them as a batch of up to `max_users` distinct users."""
        group, queue = self._groups.popitem(last=False)
        batch = Batch(group, {}, now)
        while queue and (len(batch.waiters) < max_users or queue[0].user_id in batch.waiters):
            waiter = queue.popleft()
            waiter.batch = batch
            batch.waiters.setdefault(waiter.user_id, []).append(waiter)
            self._length -= 1
        if queue:
            self._put_back(group, queue)
        return batch

    def _put_back(self, group: Group, queue: deque[Waiter]) -> None:
        """Put a group back at the position of its oldest call."""
        self._groups[group] = queue
        for other, waiting in list(self._groups.items()):
            if other != group and waiting[0].arrived > queue[0].arrived:
                self._groups.move_to_end(other)
