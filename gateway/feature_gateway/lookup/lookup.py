"""Answers queries: checks them, reads in time, and judges freshness."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.contract.reload import ContractHolder
from feature_gateway.errors import DeadlineExceededError, GatewayError, OneRowError
from feature_gateway.lookup.freshness import StalenessPolicy, judged
from feature_gateway.lookup.keys import keys_of
from feature_gateway.lookup.query import Query, RowFailure, UserFailure, UserFeatures
from feature_gateway.lookup.users import Users, check_count
from feature_gateway.observer import Observer
from feature_gateway.reads import RowReader, Served
from feature_gateway.values import Row


class Lookup:
    """Answers queries by one contract at a time; knows neither gRPC nor HTTP."""

    def __init__(
        self,
        *,
        contracts: ContractHolder,
        reader: RowReader,
        observer: Observer,
        default_feature_service: str,
        user_entity: str,
        default_timeout_s: float,
        max_timeout_s: float,
        deadline_margin_s: float,
        max_user_id_bytes: int,
        max_batch_users: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Create a lookup that reads from `reader`.

        An empty `default_feature_service` is the only one of `user_entity`. `default_timeout_s` is the time of a call
        without a deadline, `max_timeout_s` the most of any call; of a deadline `deadline_margin_s` is kept for the
        reply's way back. `max_user_id_bytes` is in bytes of UTF-8 and bounds each text of a key, `max_batch_users` is
        in rows of a call. `now_ns` is the clock that ages are judged by: nanoseconds since 1970, UTC.
        """
        self._contracts = contracts
        self._reader = reader
        self._observer = observer
        self._users = Users(entity=user_entity, max_id_bytes=max_user_id_bytes)
        self._user_entity = user_entity
        self._default_feature_service = default_feature_service
        self._default: tuple[Contract, FeatureSet | None] | None = None
        self._default_timeout_s = default_timeout_s
        self._max_timeout_s = max_timeout_s
        self._deadline_margin_s = deadline_margin_s
        self._max_key_bytes = max_user_id_bytes
        self._max_rows = max_batch_users
        self._now_ns = now_ns

    @property
    def contract(self) -> Contract:
        """The contract in service; one call takes it once, and is answered by it to its end."""
        return self._contracts.current

    @property
    def user_join_key(self) -> str:
        """The join key that a user id is a value of; empty if the contract has no such entity."""
        column = self.contract.entities.get(self._user_entity)
        return column.name if column else ""

    async def rows(
        self,
        feature_set: FeatureSet,
        columns: Mapping[str, Sequence[Any]],
        *,
        authorization: str,
        remaining_s: float | None,
    ) -> list[Row | RowFailure]:
        """Return the rows of some keys in the order asked, or why a row can't be read.

        `feature_set` is one of `contract`, and the rows have its order. `columns` has, by name, Python values of all of
        its columns: bool, int, float, str, or a list of these. Values are judged by the views' own maximum ages. Equal
        rows are read once.

        `remaining_s` is the time left of the caller's deadline, None for no deadline. Raises GatewayError for what is
        not one row's fault, and ahead of any I/O for columns that are missing, unknown, ragged, empty or too long, and
        for a value that its column does not take.
        """
        keys = keys_of(
            columns,
            feature_set,
            max_rows=self._max_rows,
            max_key_bytes=self._max_key_bytes,
            request_names=self.contract.request_names,
        )
        served = await self._read(feature_set, list(dict.fromkeys(keys)), authorization, self._budget_s(remaining_s))
        answers: dict[RowKey, Row | RowFailure] = {
            key: RowFailure(one) if isinstance(one, OneRowError) else self._judged(feature_set, one)
            for key, one in served.items()
        }
        return [answers[key] for key in keys]

    async def user_features(self, user_id: str, query: Query, *, remaining_s: float | None) -> UserFeatures:
        """Return the selected features of a user, who may be unknown.

        `remaining_s` is the time left of the caller's deadline, None for no deadline. The query is checked completely
        ahead of any I/O. Raises GatewayError.
        """
        started = asyncio.get_running_loop().time()
        contract = self.contract
        column = self._users.column(contract)
        feature_set = self._selected(contract, query)
        request = self._users.request_values(column, feature_set, query.request_data)
        served = await self._reader.row(
            feature_set.read_set,
            self._users.key(column, user_id, request),
            authorization=query.authorization,
            timeout_s=self._budget_s(remaining_s),
        )
        return self._answer(contract, user_id, query, feature_set, served=served, started=started)

    async def batch_user_features(
        self,
        user_ids: Sequence[str],
        query: Query,
        *,
        remaining_s: float | None,
        request_data_by_user: Sequence[Mapping[str, Any]] = (),
    ) -> list[UserFeatures | UserFailure]:
        """Return the selected features of several users in the order asked, or why a user has none.

        `request_data_by_user` are beside those of the query, which are all users': one mapping for each user id, or
        none. Raises GatewayError for what is not one user's fault.
        """
        started = asyncio.get_running_loop().time()
        contract = self.contract
        column = self._users.column(contract)
        feature_set = self._selected(contract, query)
        check_count(user_ids, limit=self._max_rows)
        keys = self._users.keys(column, feature_set, user_ids, common=query.request_data, by_user=request_data_by_user)
        wanted = {key: user_id for key, user_id in zip(keys, user_ids, strict=True) if isinstance(key, tuple)}
        answers: dict[RowKey, UserFeatures | UserFailure] = {}
        if wanted:
            served = await self._read(feature_set, list(wanted), query.authorization, self._budget_s(remaining_s))
            for key, user_id in wanted.items():
                one = served[key]
                try:
                    if isinstance(one, OneRowError):
                        raise one
                    answers[key] = self._answer(contract, user_id, query, feature_set, served=one, started=started)
                except OneRowError as error:
                    answers[key] = UserFailure(user_id, error)
        return [
            answers[key] if isinstance(key, tuple) else UserFailure(user_id, key)
            for key, user_id in zip(keys, user_ids, strict=True)
        ]

    async def _read(
        self, feature_set: FeatureSet, keys: list[RowKey], authorization: str, timeout_s: float
    ) -> dict[RowKey, Served | OneRowError]:
        read_set = feature_set.read_set
        if len(keys) > 1:
            rows = await self._reader.rows(read_set, keys, authorization=authorization, timeout_s=timeout_s)
            return dict(zip(keys, rows, strict=True))
        try:
            row = await self._reader.row(read_set, keys[0], authorization=authorization, timeout_s=timeout_s)
        except OneRowError as error:
            return {keys[0]: error}
        return {keys[0]: row}

    def _selected(self, contract: Contract, query: Query) -> FeatureSet:
        """Return what a query selects; raise GatewayError for a fault in its contract or its selection."""
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
        if self._default is None or self._default[0] is not contract:
            found = contract.default_feature_set(
                feature_service=self._default_feature_service, user_entity=self._user_entity
            )
            self._default = contract, found
        default = self._default[1]
        if default is None:
            raise GatewayError(
                ErrorReason.ERROR_REASON_FEATURE_SERVICE_EMPTY,
                "The request selects nothing, and the gateway has no default feature service; name one.",
                field="feature_service",
            )
        return default

    def _budget_s(self, remaining_s: float | None) -> float:
        if remaining_s is None:
            return min(self._default_timeout_s, self._max_timeout_s)
        budget_s = remaining_s - self._deadline_margin_s
        if budget_s <= 0:
            raise DeadlineExceededError("The deadline had passed before the features could be asked for.")
        return min(budget_s, self._max_timeout_s)

    def _judged(
        self,
        feature_set: FeatureSet,
        served: Served,
        *,
        max_age_s: float | None = None,
        policy: StalenessPolicy = StalenessPolicy.FLAG,
    ) -> Row:
        row = judged(served.row, feature_set, now_ns=self._now_ns(), max_age_s=max_age_s, policy=policy)
        self._observer.row_answered(feature_set, row.statuses)
        if served.stale_age_s is not None:
            self._observer.stale_answered()
        return row

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
        row = self._judged(feature_set, served, max_age_s=query.max_age_s, policy=query.staleness_policy)
        gateway_s = asyncio.get_running_loop().time() - started
        return UserFeatures(user_id, feature_set, row, contract.hash, served, gateway_s)
