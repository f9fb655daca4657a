"""Answers queries: checks them, reads in time, and judges freshness."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feature_gateway.access.caller import Caller
from feature_gateway.contract.columns import Column, RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.model import Contract
from feature_gateway.contract.reload import ContractHolder
from feature_gateway.errors import DeadlineExceededError, GatewayError, OneRowError
from feature_gateway.lookup.answered import count_answered
from feature_gateway.lookup.freshness import StalenessPolicy, judged
from feature_gateway.lookup.keys import keys_of
from feature_gateway.lookup.query import Query, Question, RowFailure, UserFailure, UserFeatures
from feature_gateway.lookup.selecting import Selecting
from feature_gateway.lookup.users import Users, check_count
from feature_gateway.observer import Observer
from feature_gateway.reads import RowAsker, RowReader, Served
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
        self.asker = reader if isinstance(reader, RowAsker) else None
        """What can be asked for a question's row without a task that waits; None if the reader can't."""

        self._observer = observer
        self._users = Users(entity=user_entity, max_id_bytes=max_user_id_bytes)
        self._user_entity = user_entity
        self._selecting = Selecting(default_feature_service=default_feature_service, user_entity=user_entity)
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
    def user_column(self) -> Column | None:
        """The join key that a user id is a value of; None if the contract has no such entity."""
        return self.contract.entities.get(self._user_entity)

    @property
    def user_join_key(self) -> str:
        """The name of that join key; empty if there is none."""
        column = self.user_column
        return column.name if column else ""

    async def rows(
        self,
        feature_set: FeatureSet,
        columns: Mapping[str, Sequence[Any]],
        *,
        caller: Caller,
        remaining_s: float | None,
    ) -> list[Row | RowFailure]:
        """Return the rows of some keys in the order asked, or why a row can't be read.

        `feature_set` is one of `contract`, and the rows have its order. `columns` has, by name, Python values of all of
        its columns: bool, int, float, str, or a list of these. Values are judged by the views' own maximum ages. Equal
        rows are read once, unless a feature may depend on the other rows of the call.

        `remaining_s` is the time left of the caller's deadline, None for no deadline. Raises GatewayError for what is
        not one row's fault, and ahead of any I/O for columns that are missing, unknown, ragged, empty or too long, and
        for a value that its column does not take.
        """
        names, max_rows = self.contract.request_names, self._max_rows
        keys = keys_of(columns, feature_set, max_rows=max_rows, max_key_bytes=self._max_key_bytes, request_names=names)
        caller.spend(len(keys))
        self._observer.rows_asked(feature_set, len(keys))
        timeout_s = self.budget_s(remaining_s)
        if len(keys) == 1:
            return [await self._row(feature_set, keys[0], caller.key, timeout_s)]
        served = await self._read(feature_set, keys, caller.key, timeout_s, of_one_call=True)
        # Rows that were read once are judged, and counted, once.
        once = {id(one): one for one in served}
        answers: dict[int, Row | RowFailure] = {}
        for at, one in once.items():
            if isinstance(one, Served):
                answers[at] = self._judged(feature_set, one)
            elif isinstance(one, OneRowError):
                answers[at] = RowFailure(one)
            else:
                raise one
        rows = [one for one in answers.values() if isinstance(one, Row)]
        count_answered(self._observer, feature_set, rows, [one for one in once.values() if isinstance(one, Served)])
        return [answers[id(one)] for one in served]

    async def _row(self, feature_set: FeatureSet, key: RowKey, caller_key: str, timeout_s: float) -> Row | RowFailure:
        read_set = feature_set.read_set
        try:
            served = await self._reader.row(read_set, key, caller_key=caller_key, timeout_s=timeout_s)
        except OneRowError as error:
            return RowFailure(error)
        row = self._judged(feature_set, served)
        count_answered(self._observer, feature_set, (row,), (served,))
        return row

    async def user_features(self, user_id: str, query: Query, *, remaining_s: float | None) -> UserFeatures:
        """Return the selected features of a user, who may be unknown.

        `remaining_s` is the time left of the caller's deadline, None for no deadline. The query is checked completely
        ahead of any I/O. Raises GatewayError.
        """
        question = self.question(user_id, query)
        served = await self._reader.row(
            question.feature_set.read_set,
            question.key,
            caller_key=query.caller.key,
            timeout_s=self.budget_s(remaining_s),
        )
        return self.answer(question, served)

    def question(self, user_id: str, query: Query) -> Question:
        """Return a query about a user, counted and checked completely; raise GatewayError."""
        query.caller.spend(1)
        return self.uncounted_question(user_id, query)

    def uncounted_question(self, user_id: str, query: Query) -> Question:
        """Return a query about a user, checked completely, for who counts the call; raise GatewayError."""
        started = asyncio.get_running_loop().time()
        contract = self.contract
        column = self._users.column(contract)
        feature_set = self._selecting.selected(contract, query)
        request = self._users.request_values(column, feature_set, query.request_data)
        key = self._users.key(column, user_id, request)
        self._observer.rows_asked(feature_set, 1)
        return Question(user_id, query, contract, feature_set, key, started)

    def answer(self, question: Question, served: Served) -> UserFeatures:
        """Return the answer to a question, of the row that was read for it; raise GatewayError."""
        user_id, query, contract, feature_set, _, started = question
        answer = self._answer(contract, user_id, query, feature_set, served=served, started=started)
        count_answered(self._observer, feature_set, (answer.row,), (served,))
        return answer

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
        feature_set = self._selecting.selected(contract, query)
        check_count(user_ids, limit=self._max_rows)
        query.caller.spend(len(user_ids))
        keys = self._users.keys(column, feature_set, user_ids, common=query.request_data, by_user=request_data_by_user)
        self._observer.rows_asked(feature_set, len(keys))
        wanted = [key for key in keys if isinstance(key, tuple)]
        budget_s = self.budget_s(remaining_s)
        # Each user is a call of its own: who shares a batch is a matter of limits, and of callers that merge calls.
        reading = self._read(feature_set, wanted, query.caller.key, budget_s, of_one_call=False)
        served = iter(await reading)
        answers: dict[tuple[int, str], UserFeatures | UserFailure] = {}
        order = []
        for key, user_id in zip(keys, user_ids, strict=True):
            one = next(served) if isinstance(key, tuple) else key
            order.append((id(one), user_id))
            if order[-1] in answers:
                continue
            try:
                if isinstance(one, GatewayError):
                    raise one
                answers[order[-1]] = self._answer(contract, user_id, query, feature_set, served=one, started=started)
            except GatewayError as error:
                answers[order[-1]] = UserFailure(user_id, error)
        answered = [one for one in answers.values() if isinstance(one, UserFeatures)]
        count_answered(self._observer, feature_set, [one.row for one in answered], [one.served for one in answered])
        return [answers[at] for at in order]

    async def _read(
        self, feature_set: FeatureSet, keys: list[RowKey], caller_key: str, timeout_s: float, *, of_one_call: bool
    ) -> Sequence[Served | GatewayError]:
        """Return the row of each key, in order, or why there is none."""
        read_set = feature_set.read_set
        wanted = keys if of_one_call and read_set.reads_whole_calls else [*dict.fromkeys(keys)]
        rows: Sequence[Served | GatewayError]
        if len(wanted) != 1:
            rows = await self._reader.rows(
                read_set, wanted, caller_key=caller_key, timeout_s=timeout_s, of_one_call=of_one_call
            )
        else:
            try:
                rows = [await self._reader.row(read_set, *wanted, caller_key=caller_key, timeout_s=timeout_s)]
            except OneRowError as error:
                rows = [error]
        if len(wanted) == len(keys):
            return rows
        by_key = dict(zip(wanted, rows, strict=True))
        return [by_key[key] for key in keys]

    def budget_s(self, remaining_s: float | None) -> float:
        """Return the time for what is asked, of the caller's time; raise DeadlineExceededError if none is left."""
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
        return judged(served.row, feature_set, now_ns=self._now_ns(), max_age_s=max_age_s, policy=policy)

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
