"""Reads sent to two replicas: the first answer counts, and a server is busy until it has answered too."""

import asyncio
from collections.abc import Callable

from feature_gateway.reads import RowsRead
from feature_gateway.upstream.replica import Replica
from feature_gateway.upstream.slot import ReplicaSlot

ReadTask = asyncio.Task[RowsRead]


async def first_success(tasks: set[ReadTask]) -> RowsRead:
    """Return the first result; raise the last exception if all tasks failed."""
    waiting = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.exception() is None or not waiting:
                return task.result()


class SlotHolders:
    """Reads that keep a slot of their own until they end, whether or not anybody waits for them."""

    def __init__(self, slot_of: Callable[[Replica], ReplicaSlot]) -> None:
        """Create a keeper without reads; `slot_of` takes a slot of a replica, free or not."""
        self._slot_of = slot_of
        self._tasks: set[ReadTask] = set()

    def hold(self, replica: Replica, task: ReadTask) -> None:
        """Take a slot of the replica until the task ends."""
        slot = self._slot_of(replica)
        self._tasks.add(task)

        def end(task: ReadTask) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                # Looked at, so that it is not logged as never retrieved.
                task.exception()
            slot.free()

        task.add_done_callback(end)

    async def close(self) -> None:
        """Cancel all reads that are left."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
