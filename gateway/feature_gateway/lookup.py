"""One user's features: the request checked, read in time, and judged for freshness."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from feature_gateway.coalescer import Coalescer
from feature_gateway.contract import Contract, FeatureSet
from feature_gateway.errors import (
    DeadlineExceededError,
    UserIdEmptyError,
    UserIdMalformedError,
    UserIdTooLongError,
)
from feature_gateway.features import FeatureStatus, UserRow
from feature_gateway.settings import Settings

_NS_PER_S = 1_000_000_000
_USER_ID_FIELD = "user_id"


@dataclass(frozen=True, slots=True)
class Selection:
    """The features that a request asks for; neither set means the default feature service."""

    feature_service: str | None = None
    references: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class UserFeatures:
    """One user's features and what they follow."""

    user_id: str
    feature_set: FeatureSet
    row: UserRow
    contract_hash: str


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

    async def user_features(self, user_id: str, selection: Selection, *, remaining_s: float | None) -> UserFeatures:
        """Return the selected features of a user, of whom nothing need be known.

        `remaining_s` is what is left of the caller's deadline, None for no deadline. Everything about the request is
        checked before any I/O. Raises GatewayError.
        """
        self._check_user_id(user_id)
        feature_set = self._feature_set(selection)
        row = await self._coalescer.user_row(feature_set, user_id, timeout_s=self._budget_s(remaining_s))
        return UserFeatures(user_id, feature_set, self._judged(row, feature_set), self._contract.hash)

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

    def _judged(self, row: UserRow, feature_set: FeatureSet) -> UserRow:
        if all(feature.max_age_s is None for feature in feature_set.features):
            return row
        now_ns = self._now_ns()
        statuses = tuple(
            FeatureStatus.OUTSIDE_MAX_AGE
            if status is FeatureStatus.PRESENT
            and feature.max_age_s is not None
            and stamp is not None
            and now_ns - stamp > feature.max_age_s * _NS_PER_S
            else status
            for feature, status, stamp in zip(feature_set.features, row.statuses, row.event_timestamps_ns, strict=True)
        )
        return replace(row, statuses=statuses)
