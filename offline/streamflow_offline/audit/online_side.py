"""What a model service reads: the gateway, through the Python client."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import grpc
from streamflow_features import (
    DeadlineExceeded,
    ErrorReason,
    FailedPrecondition,
    FeatureClient,
    FeatureServingError,
    InvalidArgument,
    ResourceExhausted,
    StalenessPolicy,
    Unavailable,
    UserFeatures,
)

from streamflow_offline.audit.compare import OnlineCell
from streamflow_offline.audit.request_data import NO_REQUEST_DATA, MadeUpRequestData
from streamflow_offline.errors import JobError

Cells = tuple[OnlineCell | None, ...]
"""The cells of one user, in the order of the compared features; None for a feature that was given up."""

_MAX_RETRIES = 4
"""How often users are asked for again when the gateway is busy and says how long."""

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
    ) -> None:
        """Creates a reader of the features `compared`, of the gateway's features `served` in the gateway's order.

        `request_data` is what the feature service needs, and `computed` the types of what each on-demand feature among
        the compared needs.
        """
        self._client = client
        self._gateway = gateway
        self._feature_service = feature_service
        self._contract_hash = contract_hash
        self._compared = tuple(compared)
        self._positions = [list(served).index(reference) for reference in compared]
        self._request_data = request_data
        self._computed = {reference: request_data.only(dtypes) for reference, dtypes in computed.items()}

    def read(self, user_ids: Sequence[str]) -> dict[str, Cells]:
        """Return each user's cells.

        A user with a value that the gateway refuses is asked for again, feature by feature, to find the value.
        Raises JobError when the gateway can't be read.
        """
        answers = self._asked(user_ids, feature_service=self._feature_service)
        refused = {user_id for user_id, answer in answers.items() if _mismatches(answer)}
        again = [user_id for user_id in user_ids if user_id in refused]
        columns = [self._column(again, reference) for reference in self._compared] if again else []
        return {
            user_id: tuple(column[user_id] for column in columns) if user_id in refused else self._row(answer)
            for user_id, answer in answers.items()
        }

    def _row(self, answer: UserFeatures | FeatureServingError) -> Cells:
        if isinstance(answer, FeatureServingError):
            return (OnlineCell(error=str(answer)),) * len(self._positions)
        names = list(answer)
        return tuple(_cell(answer, names[position]) for position in self._positions)

    def _column(self, user_ids: Sequence[str], reference: str) -> dict[str, OnlineCell | None]:
        """Return the cells of one feature."""
        unreadable = 0
        cells: dict[str, OnlineCell | None] = {}
        for user_id, answer in self._asked(user_ids, features=[reference]).items():
            if not isinstance(answer, FeatureServingError):
                cells[user_id] = _cell(answer, next(iter(answer)))
            elif not _mismatches(answer):
                cells[user_id] = OnlineCell(error=str(answer))
            elif unreadable < MAX_UNREADABLE:
                unreadable += 1
                cells[user_id] = OnlineCell(error=str(answer), wrong_type=True)
            else:
                cells[user_id] = None
        return cells

    def _asked(
        self, user_ids: Sequence[str], *, feature_service: str | None = None, features: Sequence[str] | None = None
    ) -> Mapping[str, UserFeatures | FeatureServingError]:
        sent = self._request_data if features is None else self._computed.get(features[0])
        try:
            batch = self._client.get_users_features(
                user_ids,
                request_data_by_user=[sent.of(user_id) for user_id in user_ids] if sent and sent.dtypes else (),
                retries=_MAX_RETRIES,
                feature_service=feature_service,
                features=features,
                contract_hash=self._contract_hash,
                # Training has no value older than the ttl either.
                staleness_policy=StalenessPolicy.OMIT,
            )
        except FeatureServingError as error:
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


def _mismatches(answer: UserFeatures | FeatureServingError) -> bool:
    """Return whether the feature server has a value that the contract does not allow."""
    return isinstance(answer, FeatureServingError) and answer.reason is ErrorReason.UPSTREAM_MISMATCH


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
