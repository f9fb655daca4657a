"""Answers reads from memory while the feature servers are not available."""

import asyncio
from collections.abc import Callable, Sequence

from feature_gateway.contract.model import FeatureSet
from feature_gateway.errors import (
    CredentialsRefusedError,
    DeadlineExceededError,
    GatewayError,
    OneUserError,
    UpstreamUnavailableError,
)
from feature_gateway.lookup.last_known import LastKnown
from feature_gateway.reads import ReadReport, Served, UserReader

_NOT_READ = ReadReport()


class StaleIfDown:
    """Reads through another reader and remembers; a read that ends for an outage is answered by what is remembered.

    An outage is an UpstreamUnavailableError, or a DeadlineExceededError while no feature server answers: a frozen
    server or store refuses nothing, and shows in no other way. These are not outages: time that runs out while a server
    answers, or sooner than a server answers; OVERLOADED; and credentials that the feature server refuses, which lose
    all of their rows.
    """

    def __init__(self, reader: UserReader, last_known: LastKnown, *, silent: Callable[[float], bool]) -> None:
        """Create a reader that remembers what `reader` reads in `last_known`.

        `silent` returns whether no feature server has answered in the last seconds, although it had the time.
        """
        self._reader = reader
        self._last_known = last_known
        self._silent = silent

    async def user_row(self, feature_set: FeatureSet, user_id: str, *, authorization: str, timeout_s: float) -> Served:
        """Return one user's row, read or remembered; raise what the reader raises."""
        started_s = asyncio.get_running_loop().time()
        try:
            served = await self._reader.user_row(feature_set, user_id, authorization=authorization, timeout_s=timeout_s)
        except GatewayError as error:
            (remembered,) = self._instead_of(
                error, _waited_s(started_s, timeout_s), feature_set, [user_id], authorization
            )
            return remembered
        self._last_known.remember(feature_set, user_id, served.row, authorization=authorization)
        return served

    async def user_rows(
        self, feature_set: FeatureSet, user_ids: Sequence[str], *, authorization: str, timeout_s: float
    ) -> Sequence[Served | OneUserError]:
        """Return the rows of many users, in order, all of them read or, if all are known, all remembered.

        Raises what the reader raises.
        """
        started_s = asyncio.get_running_loop().time()
        try:
            rows = await self._reader.user_rows(feature_set, user_ids, authorization=authorization, timeout_s=timeout_s)
        except GatewayError as error:
            return self._instead_of(error, _waited_s(started_s, timeout_s), feature_set, user_ids, authorization)
        for user_id, served in zip(user_ids, rows, strict=True):
            if isinstance(served, Served):
                self._last_known.remember(feature_set, user_id, served.row, authorization=authorization)
        return rows

    def _instead_of(
        self, error: GatewayError, waited_s: float, feature_set: FeatureSet, user_ids: Sequence[str], authorization: str
    ) -> list[Served]:
        """Return the remembered rows of all users; raise the error if it is no outage or a user is not known."""
        if isinstance(error, CredentialsRefusedError):
            self._last_known.forget(authorization=authorization)
        if not (
            isinstance(error, UpstreamUnavailableError)
            or (isinstance(error, DeadlineExceededError) and self._silent(waited_s))
        ):
            raise error
        served = []
        for user_id in user_ids:
            known = self._last_known.recall(feature_set, user_id, authorization=authorization)
            if known is None:
                raise error
            served.append(Served(known.row, 0.0, 0.0, 0, _NOT_READ, stale_age_s=known.age_s))
        return served


def _waited_s(started_s: float, timeout_s: float) -> float:
    """Return how long a caller waited, without what the event loop was late to say so."""
    return min(asyncio.get_running_loop().time() - started_s, timeout_s)
