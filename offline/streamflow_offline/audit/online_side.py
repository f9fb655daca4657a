"""What a model service reads: the gateway, through the Python client."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Unpack

import grpc
from streamflow_features import (
    DeadlineExceeded,
    FailedPrecondition,
    FeatureClient,
    FeatureServingError,
    InvalidArgument,
    QueryOptions,
    RequestDataValue,
    ResourceExhausted,
    StalenessPolicy,
    Unavailable,
    UserFeatures,
    UserFeaturesBatch,
)

from streamflow_offline.audit.compare import OnlineCell
from streamflow_offline.audit.request_data import NO_REQUEST_DATA, MadeUpRequestData
from streamflow_offline.errors import JobError

Cells = tuple[OnlineCell | None, ...]
"""The cells of one user, in the order of the compared features; None for a feature that was given up."""

_BATCH_USERS = 500
_MAX_ATTEMPTS = 5
_RETRY_AFTER_S = 0.1

MAX_UNREADABLE = 200
"""How many refused values of a feature each read tells of before it gives the feature up."""


class OnlineSide:
    """Reads users' features as a model service does."""

    def __init__(
        self,
        client: FeatureClient,
        *,
        gateway: str,
        feature_service: str,
        contract_hash: str,
        served: Sequence[str],
        compared: Sequence[str],
        request_data: MadeUpRequestData = NO_REQUEST_DATA,
        computed: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Creates a reader of the features `compared`, of the gateway's features `served` in the gateway's order.

        `request_data` is what the feature service needs, and `computed` the types of what each on-demand feature among
        the compared needs. `pause` waits for some seconds when the gateway is busy.
        """
        self._client = client
        self._gateway = gateway
        self._feature_service = feature_service
        self._contract_hash = contract_hash
        self._compared = tuple(compared)
        self._positions = [list(served).index(reference) for reference in compared]
        self._request_data = request_data
        self._computed = {reference: request_data.only(dtypes) for reference, dtypes in computed.items()}
        self._pause = pause

    def read(self, user_ids: Sequence[str]) -> dict[str, Cells]:
        """Return each user's cells.

        A user with a value that the gateway refuses is asked for again, feature by feature, to find the value.
        Raises JobError when the gateway can't be read.
        """
        unreadable = dict.fromkeys(self._compared, 0)
        cells: dict[str, Cells] = {}
        for start in range(0, len(user_ids), _BATCH_USERS):
            cells |= self._rows(user_ids[start : start + _BATCH_USERS], unreadable)
        return cells

    def _rows(self, user_ids: Sequence[str], unreadable: dict[str, int]) -> dict[str, Cells]:
        answers = self._asked(user_ids, feature_service=self._feature_service)
        refused = {user_id: answer for user_id, answer in answers.items() if _mismatches(answer)}
        columns = (
            [self._column(list(refused), reference, unreadable) for reference in self._compared] if refused else []
        )
        return {
            user_id: tuple(column[user_id] for column in columns) if user_id in refused else self._row(answer)
            for user_id, answer in answers.items()
        }

    def _row(self, answer: UserFeatures | FeatureServingError) -> Cells:
        if isinstance(answer, FeatureServingError):
            return (OnlineCell(error=str(answer)),) * len(self._positions)
        names = list(answer)
        return tuple(_cell(answer, names[position]) for position in self._positions)

    def _column(
        self, user_ids: Sequence[str], reference: str, unreadable: dict[str, int]
    ) -> dict[str, OnlineCell | None]:
        """Return the cells of one feature."""
        if unreadable[reference] >= MAX_UNREADABLE:
            return dict.fromkeys(user_ids)
        cells: dict[str, OnlineCell | None] = {}
        for user_id, answer in self._asked(user_ids, features=[reference]).items():
            if not isinstance(answer, FeatureServingError):
                cells[user_id] = _cell(answer, next(iter(answer)))
            elif not _mismatches(answer):
                cells[user_id] = OnlineCell(error=str(answer))
            elif unreadable[reference] < MAX_UNREADABLE:
                unreadable[reference] += 1
                cells[user_id] = OnlineCell(error=str(answer), wrong_type=True)
            else:
                cells[user_id] = None
        return cells

    def _asked(
        self, user_ids: Sequence[str], *, feature_service: str | None = None, features: Sequence[str] | None = None
    ) -> Mapping[str, UserFeatures | FeatureServingError]:
        sent = self._request_data if features is None else self._computed.get(features[0])
        try:
            batch = self._batch(
                user_ids,
                request_data_by_user=[sent.of(user_id) for user_id in user_ids] if sent and sent.dtypes else (),
                feature_service=feature_service,
                features=features,
                contract_hash=self._contract_hash,
                # Training has no value older than the ttl either.
                staleness_policy=StalenessPolicy.OMIT,
            )
        except FeatureServingError as error:
            if error.reason == "ERROR_REASON_USER_IDS_TOO_MANY" and len(user_ids) > 1:
                middle = len(user_ids) // 2
                return {
                    **self._asked(user_ids[:middle], feature_service=feature_service, features=features),
                    **self._asked(user_ids[middle:], feature_service=feature_service, features=features),
                }
            if _mismatches(error):
                return dict.fromkeys(user_ids, error)
            raise gateway_failure(self._gateway, error) from error
        for answer in batch:
            if isinstance(answer, FeatureServingError) and not (
                isinstance(answer, InvalidArgument) or _mismatches(answer)
            ):
                raise gateway_failure(self._gateway, answer) from answer
            if isinstance(answer, UserFeatures) and answer.stale_age_s is not None:
                raise JobError(
                    f"the gateway at {self._gateway} answers by what it read {answer.stale_age_s:.0f} s ago, because "
                    "its feature servers are down; bring them back, then audit"
                )
        return dict(zip(user_ids, batch, strict=True))

    def _batch(
        self,
        user_ids: Sequence[str],
        *,
        request_data_by_user: Sequence[Mapping[str, RequestDataValue]],
        **options: Unpack[QueryOptions],
    ) -> UserFeaturesBatch:
        def ask() -> UserFeaturesBatch:
            return self._client.batch_get_user_features(user_ids, request_data_by_user=request_data_by_user, **options)

        for _ in range(_MAX_ATTEMPTS - 1):
            try:
                return ask()
            except ResourceExhausted as error:
                self._pause(error.retry_after_s or _RETRY_AFTER_S)
        return ask()


def _mismatches(answer: UserFeatures | FeatureServingError) -> bool:
    """Return whether the feature server has a value that the contract does not allow."""
    return isinstance(answer, FeatureServingError) and answer.reason == "ERROR_REASON_UPSTREAM_MISMATCH"


def gateway_failure(gateway: str, error: FeatureServingError) -> JobError:
    """Return the error that ends an audit when a call fails as a whole."""
    said = f"the gateway at {gateway} can't be read: {error.code.name}: {error}"
    if isinstance(error, DeadlineExceeded):
        return JobError(f"{said}; give it longer with --timeout-s")
    if isinstance(error, FailedPrecondition):
        return JobError(f"{said}; it took up another contract meanwhile, so audit again")
    if isinstance(error, ResourceExhausted):
        return JobError(f"{said}; audit when fewer calls are made")
    if isinstance(error, Unavailable):
        return JobError(f"{said}; start it, with the local stack by `make up`, or name another with --gateway")
    if error.code is grpc.StatusCode.UNIMPLEMENTED:
        return JobError(f"{said}; name a gateway of this API with --gateway")
    return JobError(f"{said}; see its log")


def _cell(features: UserFeatures, name: str) -> OnlineCell:
    return OnlineCell(
        value=features[name], event_timestamp=features.event_timestamps[name], status=features.statuses[name]
    )
