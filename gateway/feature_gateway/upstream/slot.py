"""Room for one read on one replica: in use until the replica's server is free, wherever the read goes."""

from collections.abc import Awaitable, Callable, Sequence

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError, GatewayError, UpstreamUnavailableError
from feature_gateway.reads import ReadReport, RowsRead
from feature_gateway.upstream.replica import Replica

Read = Callable[["ReplicaSlot", FeatureSet, Sequence[RowKey], str, float], Awaitable[tuple[RowsRead, ReadReport]]]
"""Reads in a slot: the features, the keys, the Authorization header, the time in seconds."""


class ReplicaSlot:
    """A slot of a replica; counts in its `slots_taken` until freed."""

    def __init__(
        self, replica: Replica | None, *, read: Read, freed: Callable[[], object], answered: Callable[[], object]
    ) -> None:
        """Take a slot of a replica, or of none; `freed` is called whenever a slot is given back.

        `answered` is called when a server has answered, even if the answer is that it refuses the caller.
        """
        self.replica: Replica | None = None
        self._read = read
        self._freed = freed
        self._answered = answered
        self._move(replica)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[RowsRead, ReadReport]:
        """Return one row a key, in order, and how they were read; raise GatewayError."""
        try:
            rows_and_report = await self._read(self, feature_set, keys, authorization, timeout_s)
        except GatewayError as error:
            if not isinstance(error, DeadlineExceededError | UpstreamUnavailableError):
                self._answered()
            raise
        self._answered()
        return rows_and_report

    def move_to(self, replica: Replica) -> None:
        """Take a slot of another replica instead."""
        if replica is not self.replica:
            self._move(replica)
            self._freed()

    def free(self) -> None:
        """Give the slot back; without effect the second time."""
        if self.replica is not None:
            self._move(None)
            self._freed()

    def _move(self, replica: Replica | None) -> None:
        if self.replica is not None:
            self.replica.slots_taken -= 1
        if replica is not None:
            replica.slots_taken += 1
        self.replica = replica
