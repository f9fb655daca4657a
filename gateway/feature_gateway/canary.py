"""Reads for the canary user, through the feature servers to the online store.

They go past the queue of calls, so that load alone, which may fill it, does not fail them.
"""

import time
from collections.abc import Callable

from feature_gateway.contract import Contract
from feature_gateway.replicas import FirstRead, ReplicaSet
from feature_gateway.settings import Settings


class Canary:
    """Finds out whether the feature servers answer by a contract; that nothing is known of the user is an answer."""

    def __init__(
        self, replicas: ReplicaSet, settings: Settings, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what is read from, and for whom, with which credentials and in which time; the start is now."""
        self._replicas = replicas
        self._default_feature_service = settings.default_feature_service
        self._user_ids = (settings.canary_user_id,)
        self._principal = settings.canary_authorization
        self._timeout_s = settings.readiness_timeout_s
        self._now_s = now_s
        self._trial_ends_s = now_s() + settings.start_trial_s
        self._answered = False

    async def check(self, contract: Contract) -> None:
        """Try the contract out until it was answered once, for `start_trial_s`; after that read. Raises GatewayError.

        Right after new definitions were applied some of the servers know them and some do not yet.
        """
        tried = self._answered or self._now_s() >= self._trial_ends_s
        if tried or self._replicas.set_aside == len(self._replicas.urls):
            await self.read(contract)
        else:
            await self.try_out(contract)
        self._answered = True

    async def read(self, contract: Contract) -> None:
        """Read the default feature service as a call would, from the best of the servers; raise GatewayError."""
        feature_set = contract.feature_set_of_service(self._default_feature_service)
        await self._replicas.read_rows(
            feature_set, self._user_ids, principal=self._principal, timeout_s=self._timeout_s
        )

    async def try_out(self, contract: Contract) -> None:
        """Read each feature service from every server that is not set aside; raise the first GatewayError.

        Each server has a registry of its own, so one may know what another does not know yet.
        """
        for feature_set in contract.services.values():
            await self._replicas.read_from_each(
                feature_set, self._user_ids, principal=self._principal, timeout_s=self._timeout_s
            )


def first_read(settings: Settings, *, contract: Callable[[], Contract]) -> FirstRead:
    """Return the canary read of one server, by the contract in service then."""
    return lambda server: server.read_rows(
        contract().feature_set_of_service(settings.default_feature_service),
        (settings.canary_user_id,),
        principal=settings.canary_authorization,
        timeout_s=settings.readiness_timeout_s,
    )
