"""Reads for the canary user, through the feature servers to the online store.

They go past the queue of calls, so that load alone, which may fill it, does not fail them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from feature_gateway.contract.model import Contract, FeatureSet
from feature_gateway.upstream.pool import ReplicaPool


class Source(Protocol):
    """What a canary read reads from: one feature server, or the best of several."""

    def read_rows(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, authorization: str, timeout_s: float
    ) -> Awaitable[object]:
        """Read the user's rows; raise GatewayError."""
        ...


@dataclass(frozen=True, kw_only=True)
class CanaryRead:
    """A read of the default feature service for the canary user; that nothing is known of the user is an answer."""

    feature_service: str
    user_id: str
    authorization: str = field(repr=False)
    timeout_s: float

    async def read(self, source: Source, contract: Contract) -> None:
        """Read as a call would; raise GatewayError."""
        feature_set = contract.feature_set_of_service(self.feature_service)
        await source.read_rows(feature_set, (self.user_id,), authorization=self.authorization, timeout_s=self.timeout_s)


class Canary:
    """Finds out whether the feature servers answer by a contract."""

    def __init__(
        self,
        pool: ReplicaPool,
        canary_read: CanaryRead,
        *,
        start_trial_s: float,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a canary whose start is now; for `start_trial_s` every feature server has to answer."""
        self._pool = pool
        self._canary_read = canary_read
        self._now_s = now_s
        self._trial_ends_s = now_s() + start_trial_s
        self._answered = False

    async def check(self, contract: Contract) -> None:
        """Try the contract out until it was answered once, for `start_trial_s`; after that read. Raises GatewayError.

        Right after new definitions were applied some of the servers know them and some do not yet.
        """
        tried = self._answered or self._now_s() >= self._trial_ends_s
        if tried or self._pool.ejected == len(self._pool.urls):
            await self._canary_read.read(self._pool, contract)
        else:
            await self.try_out(contract)
        self._answered = True

    async def try_out(self, contract: Contract) -> None:
        """Read each feature service from every server that is not ejected; raise the first GatewayError.

        Each server has a registry of its own, so one may know what another does not know yet.
        """
        canary = self._canary_read
        for feature_set in contract.services.values():
            await self._pool.read_from_each(
                feature_set, (canary.user_id,), authorization=canary.authorization, timeout_s=canary.timeout_s
            )
