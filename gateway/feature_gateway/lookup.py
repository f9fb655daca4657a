"""One user's features: the request checked, read in time, and judged for freshness."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feature_gateway.coalescer import Coalescer, Served
from feature_gateway.contract import Contract, FeatureSet
from feature_gateway.errors import (
    ContractMismatchError,
    DeadlineExceededError,
    UserIdEmptyError,
    UserIdMalformedError,
    UserIdTooLongError,
)
from feature_gateway.features import UserRow
from feature_gateway.freshness import StalenessPolicy, judged
from feature_gateway.settings import Settings

_USER_ID_FIELD = "user_id"


@dataclass(frozen=True, slots=True)
class Selection:
    """The features that a request asks for; neither set means the default feature service."""

    feature_service: str | None = None
    references: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked about a user."""

    user_id: str
    selection: Selection = Selection()

    contract_hash: str = ""
    """The contract that the caller was built for; empty for any."""

    max_age_s: float | None = None
    """In place of the views' own maximum ages; None for those."""

    staleness_policy: StalenessPolicy = StalenessPolicy.FLAG

    principal: str = ""
    """The caller's credentials, an Authorization header; empty for none."""


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """One user's features, what they follow and how they were served."""

    user_id: str
    feature_set: FeatureSet
    row: UserRow
    contract_hash: str
    served: Served

    gateway_s: float
    """From the query until the features were ready."""


class Lookup:
    """Answers for one user at a time; knows neither gRPC nor HTTP."""

    def __init__(
        self,
        *,
        contract: Contract,
        coalescer: Coalescer,
        settings: Settings,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Take the collaborators, and the clock that ages are judged by: nanoseconds since 1970, UTC."""
        self._contract = contract
        self._coalescer = coalescer
        self._settings = settings
        self._now_ns = now_ns

    async def user_features(self, query: Query, *, remaining_s: float | None) -> UserFeatures:
        """Return the selected features of a user, of whom nothing need be known.

        `remaining_s` is what is left of the caller's deadline, None for no deadline. Everything about the query is
        checked before any I/O. Raises GatewayError.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._check_contract(query.contract_hash)
        self._check_user_id(query.user_id)
        feature_set = self._feature_set(query.selection)
        served = await self._coalescer.user_row(
            feature_set, query.user_id, principal=query.principal, timeout_s=self._budget_s(remaining_s)
        )
        row = judged(
            served.row,
            feature_set,
            now_ns=self._now_ns(),
            max_age_s=query.max_age_s,
            policy=query.staleness_policy,
        )
        return UserFeatures(
            query.user_id, feature_set, row, self._contract.hash, served, gateway_s=loop.time() - started
        )

    def _check_contract(self, requested_hash: str) -> None:
        if requested_hash and requested_hash != self._contract.hash:
            raise ContractMismatchError(
                "The request was built for another contract than the gateway answers by.",
                metadata={"requested_hash": requested_hash[:100], "contract_hash": self._contract.hash},
            )

    def _check_user_id(self, user_id: str) -> None:
        if not user_id:
            raise UserIdEmptyError("user_id is empty; give the id of a user.", field=_USER_ID_FIELD)
        limit = self._settings.max_user_id_bytes
        if len(user_id.encode(errors="surrogatepass")) > limit:
            raise UserIdTooLongError(
                f"user_id is longer than {limit} bytes.", field=_USER_ID_FIELD, metadata={"max_bytes": str(limit)}
            )
        pattern = self._contract.user_id_pattern
        if pattern is not None and not pattern.fullmatch(user_id):
            raise UserIdMalformedError(
                f"user_id {user_id!r} is not of the form {pattern.pattern}.",
                field=_USER_ID_FIELD,
                metadata={"pattern": pattern.pattern},
            )

    def _feature_set(self, selection: Selection) -> FeatureSet:
        if selection.references is not None:
            return self._contract.feature_set_of_references(selection.references)
        if selection.feature_service is not None:
            return self._contract.feature_set_of_service(selection.feature_service)
        return self._contract.feature_set_of_service(self._settings.default_feature_service)

    def _budget_s(self, remaining_s: float | None) -> float:
        if remaining_s is None:
            return self._settings.default_timeout_s
        budget_s = remaining_s - self._settings.deadline_margin_s
        if budget_s <= 0:
            raise DeadlineExceededError("The deadline had passed before the features could be asked for.")
        return budget_s
