"""Reads for a canary key, through the feature servers to the online store.

They go past the queue of calls, so that load alone, which may fill it, does not fail them.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.errors import TransformationFailedError
from feature_gateway.readiness.canary_sets import canary_key, canary_set, trial_sets
from feature_gateway.upstream.pool import ReplicaPool


class Source(Protocol):
    """What a canary read reads from: one feature server, or the best of several."""

    def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> Awaitable[object]:
        """Read the rows of some keys; raise GatewayError."""
        ...


@dataclass(frozen=True, kw_only=True)
class CanaryRead:
    """A read of one row, which need not exist."""

    feature_service: str
    """The default feature service; empty for the only one of the user entity."""

    user_entity: str

    key_text: str
    """The value of join keys that are texts."""

    authorization: str = field(repr=False)
    timeout_s: float

    async def read(self, source: Source, contract: Contract) -> None:
        """Read as a call would; raise GatewayError."""
        feature_set = canary_set(contract, feature_service=self.feature_service, user_entity=self.user_entity)
        if feature_set is not None:
            await self.read_set(source.read_rows, feature_set)

    async def read_set(self, read_rows: Callable[..., Awaitable[object]], feature_set: FeatureSet) -> None:
        """Read a row of a feature set; raise GatewayError."""
        key = canary_key(feature_set.columns, self.key_text)
        # A function may raise for a row that does not exist. Its inputs were read.
        with suppress(TransformationFailedError):
            await read_rows(feature_set, (key,), authorization=self.authorization, timeout_s=self.timeout_s)


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
        for feature_set in trial_sets(contract):
            await self._canary_read.read_set(self._pool.read_from_each, feature_set)
