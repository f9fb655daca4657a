"""Answers queries about users: checks them, reads in time, and judges freshness."""

import asyncio
import time
from collections.abc import Callable, Sequence

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.model import Contract, FeatureSet
from feature_gateway.contract.reload import ContractHolder
from feature_gateway.errors import DeadlineExceededError, GatewayError, OneUserError
from feature_gateway.lookup.freshness import judged
from feature_gateway.lookup.query import Query, UserFailure, UserFeatures
from feature_gateway.observer import Observer
from feature_gateway.reads import Served, UserReader

_USER_ID_FIELD = "user_id"
_USER_IDS_FIELD = "user_ids"


class Lookup:
    """Answers queries by one contract at a time; knows neither gRPC nor HTTP."""

    def __init__(
        self,
        *,
        contracts: ContractHolder,
        reader: UserReader,
        observer: Observer,
        default_feature_service: str,
        default_timeout_s: float,
        max_timeout_s: float,
        deadline_margin_s: float,
        max_user_id_bytes: int,
        max_batch_users: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Create a lookup that reads from `reader`.

        `default_timeout_s` is the time of a call without a deadline, `max_timeout_s` the most of any call; of a
        deadline `deadline_margin_s` is kept for the reply's way back. `max_user_id_bytes` is in bytes of UTF-8,
        `max_batch_users` in users of a batch. `now_ns` is the clock that ages are judged by: nanoseconds since 1970,
        UTC.
        """
        self._contracts = contracts
        self._reader = reader
        self._observer = observer
        self._default_feature_service = default_feature_service
        self._default_timeout_s = default_timeout_s
        self._max_timeout_s = max_timeout_s
        self._deadline_margin_s = deadline_margin_s
        self._max_user_id_bytes = max_user_id_bytes
        self._max_batch_users = max_batch_users
        self._now_ns = now_ns

    @property
    def contract(self) -> Contract:
        """The contract in service; one call takes it once, and is answered by it to its end."""
        return self._contracts.current

    async def user_features(self, user_id: str, query: Query, *, remaining_s: float | None) -> UserFeatures:
        """Return the selected features of a user, who may be unknown.

        `remaining_s` is the time left of the caller's deadline, None for no deadline. The query is checked completely
        ahead of any I/O. Raises GatewayError.
        """
        started = asyncio.get_running_loop().time()
        contract = self.contract
        feature_set = self._checked(contract, query)
        self._check_user_id(contract, user_id)
        served = await self._reader.user_row(
            feature_set.read_set, user_id, authorization=query.authorization, timeout_s=self._budget_s(remaining_s)
        )
        return self._answer(contract, user_id, query, feature_set, served=served, started=started)

    async def batch_user_features(
        self, user_ids: Sequence[str], query: Query, *, remaining_s: float | None
    ) -> list[UserFeatures | UserFailure]:
        """Return the selected features of several users in the order asked, or why a user has none.

        Raises GatewayError for what is not one user's fault.
        """
        started = asyncio.get_running_loop().time()
        contract = self.contract
        feature_set = self._checked(contract, query)
        self._check_count(user_ids)
        failures = {user_id: failure for user_id in user_ids if (failure := self._failure(contract, user_id))}
        asked = list(dict.fromkeys(user_id for user_id in user_ids if user_id not in failures))
        answers: dict[str, UserFeatures | UserFailure] = dict(failures)
        if asked:
            rows = await self._reader.user_rows(
                feature_set.read_set, asked, authorization=query.authorization, timeout_s=self._budget_s(remaining_s)
            )
            for user_id, served in zip(asked, rows, strict=True):
                try:
                    if isinstance(served, GatewayError):
                        raise served
                    answers[user_id] = self._answer(
                        contract, user_id, query, feature_set, served=served, started=started
                    )
                except OneUserError as error:
                    answers[user_id] = UserFailure(user_id, error)
        return [answers[user_id] for user_id in user_ids]

    def _checked(self, contract: Contract, query: Query) -> FeatureSet:
        """Return what a query selects; raise GatewayError for a fault in anything but the user id."""
        if query.contract_hash and query.contract_hash != contract.hash:
            raise GatewayError(
                ErrorReason.ERROR_REASON_CONTRACT_MISMATCH,
                "The request was built for another contract than the gateway answers by.",
                metadata={"requested_hash": query.contract_hash[:100], "contract_hash": contract.hash},
            )
        selection = query.selection
        if selection.references is not None:
            return contract.feature_set_of_references(selection.references)
        if selection.feature_service is not None:
            return contract.feature_set_of_service(selection.feature_service)
        return contract.feature_set_of_service(self._default_feature_service)

    def _check_count(self, user_ids: Sequence[str]) -> None:
        if not user_ids:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_IDS_EMPTY,
                "user_ids is empty; give the ids of the users.",
                field=_USER_IDS_FIELD,
            )
        limit = self._max_batch_users
        if len(user_ids) > limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_IDS_TOO_MANY,
                f"There are {len(user_ids)} user ids, and a batch takes {limit}; send several batches.",
                field=_USER_IDS_FIELD,
                metadata={"max_users": str(limit)},
            )

    def _failure(self, contract: Contract, user_id: str) -> UserFailure | None:
        try:
            self._check_user_id(contract, user_id)
        except GatewayError as error:
            return UserFailure(user_id, error)
        return None

    def _check_user_id(self, contract: Contract, user_id: str) -> None:
        if not user_id:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_EMPTY, "user_id is empty; give the id of a user.", field=_USER_ID_FIELD
            )
        limit = self._max_user_id_bytes
        if len(user_id.encode(errors="surrogatepass")) > limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_TOO_LONG,
                f"user_id is longer than {limit} bytes.",
                field=_USER_ID_FIELD,
                metadata={"max_bytes": str(limit)},
            )
        pattern = contract.user_id_pattern
        if pattern is not None and not pattern.fullmatch(user_id):
            raise GatewayError(
                ErrorReason.ERROR_REASON_USER_ID_MALFORMED,
                f"user_id {user_id!r} is not of the form {pattern.pattern}.",
                field=_USER_ID_FIELD,
                metadata={"pattern": pattern.pattern},
            )

    def _budget_s(self, remaining_s: float | None) -> float:
        if remaining_s is None:
            return min(self._default_timeout_s, self._max_timeout_s)
        budget_s = remaining_s - self._deadline_margin_s
        if budget_s <= 0:
            raise DeadlineExceededError("The deadline had passed before the features could be asked for.")
        return min(budget_s, self._max_timeout_s)

    def _answer(
        self,
        contract: Contract,
        user_id: str,
        query: Query,
        feature_set: FeatureSet,
        *,
        served: Served,
        started: float,
    ) -> UserFeatures:
        positions = feature_set.read_positions
        row = served.row if positions is None else served.row.in_order(positions)
        row = judged(row, feature_set, now_ns=self._now_ns(), max_age_s=query.max_age_s, policy=query.staleness_policy)
        self._observer.user_answered(feature_set, row.statuses)
        if served.stale_age_s is not None:
            self._observer.stale_answered()
        gateway_s = asyncio.get_running_loop().time() - started
        return UserFeatures(user_id, feature_set, row, contract.hash, served, gateway_s)
