"""Answers reads from memory while the feature servers are not available."""

import asyncio
from collections.abc import Callable, Sequence

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import (
    CredentialsRefusedError,
    DeadlineExceededError,
    GatewayError,
    UpstreamUnavailableError,
)
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.reads import ReadReport, RowReader, Served

_NOT_READ = ReadReport()


class StaleIfDown:
    """Reads through another reader and remembers; a read that ends for an outage is answered by what is remembered.

    An outage is an UpstreamUnavailableError, or a DeadlineExceededError while no feature server answers: a frozen
    server or store refuses nothing, and shows in no other way. These are not outages: time that runs out while a server
    answers, or sooner than a server answers; OVERLOADED; and credentials that the feature server refuses, which lose
    all of their rows.
    """

    def __init__(self, reader: RowReader, last_known: LastKnown, *, silent: Callable[[float], bool]) -> None:
        """Create a reader that remembers what `reader` reads in `last_known`.

        `silent` returns whether no feature server has answered in the last seconds, although it had the time.
        """
        self._reader = reader
        self._last_known = last_known
        self._silent = silent

    async def row(self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float) -> Served:
        """Return the row of a key, read or remembered; raise what the reader raises."""
        started_s = asyncio.get_running_loop().time()
        try:
            served = await self._reader.row(feature_set, key, caller_key=caller_key, timeout_s=timeout_s)
        except GatewayError as error:
            (remembered,) = self._instead_of(error, _waited_s(started_s, timeout_s), feature_set, [key], caller_key)
            if remembered is None:
                raise
            return remembered
        self._last_known.remember(feature_set, key, served.row, caller_key=caller_key)
        return served

    async def rows(
        self,
        feature_set: FeatureSet,
        keys: Sequence[RowKey],
        *,
        caller_key: str,
        timeout_s: float,
        of_one_call: bool = True,
    ) -> Sequence[Served | GatewayError]:
        """Return the rows of many keys, in order, all of them read or all remembered.

        A key whose row is not remembered has what the reader raised, which is raised if no row is. Rows that may depend
        on each other are not remembered. Raises what the reader raises.
        """
        if feature_set.reads_whole_calls:
            return await self._reader.rows(
                feature_set, keys, caller_key=caller_key, timeout_s=timeout_s, of_one_call=of_one_call
            )
        started_s = asyncio.get_running_loop().time()
        try:
            rows = await self._reader.rows(feature_set, keys, caller_key=caller_key, timeout_s=timeout_s)
        except GatewayError as error:
            remembered = self._instead_of(error, _waited_s(started_s, timeout_s), feature_set, keys, caller_key)
            if not any(remembered):
                raise
            return [served or error for served in remembered]
        for key, served in zip(keys, rows, strict=True):
            if isinstance(served, Served):
                self._last_known.remember(feature_set, key, served.row, caller_key=caller_key)
        return rows

    def _instead_of(
        self, error: GatewayError, waited_s: float, feature_set: FeatureSet, keys: Sequence[RowKey], caller_key: str
    ) -> list[Served | None]:
        """Return the remembered row of each key, None for one that is not remembered; raise an error without outage."""
        if isinstance(error, CredentialsRefusedError):
            self._last_known.forget(caller_key=caller_key)
        if not (
            isinstance(error, UpstreamUnavailableError)
            or (isinstance(error, DeadlineExceededError) and self._silent(waited_s))
        ):
            raise error
        known = [self._last_known.recall(feature_set, key, caller_key=caller_key) for key in keys]
        return [Served(one.row, 0.0, 0.0, 0, _NOT_READ, stale_age_s=one.age_s) if one else None for one in known]


def _waited_s(started_s: float, timeout_s: float) -> float:
    """Return how long a caller waited, without what the event loop was late to say so."""
    return min(asyncio.get_running_loop().time() - started_s, timeout_s)
