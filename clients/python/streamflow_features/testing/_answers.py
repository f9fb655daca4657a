"""Answers questions from users' rows: features, statuses, and what is too old."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamflow.features.v1.feature_pb2 import Feature as FeatureMessage
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest

from streamflow_features._features import FeatureStatus
from streamflow_features._queries import StalenessPolicy
from streamflow_features._reasons import ErrorReason
from streamflow_features.testing._definitions import Definitions, Feature, Selection
from streamflow_features.testing._encoding import put
from streamflow_features.testing._refused import refused
from streamflow_features.testing._users import Row

Request = GetUserFeaturesRequest | BatchGetUserFeaturesRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for each of its users."""

    selection: Selection
    max_age_s: float | None
    """Replaces the maximum ages of the features."""

    policy: StalenessPolicy


@dataclass(frozen=True, slots=True)
class Answered:
    """A feature of an answer."""

    name: str
    feature: Feature
    value: Any
    status: FeatureStatus
    event_timestamp: datetime | None


def asked(definitions: Definitions, request: Request) -> Asked:
    """Return what a request asks. Raises FeatureServingError for a wrong maximum age, selection or contract."""
    max_age_s = request.max_age.seconds + request.max_age.nanos / 1e9 if request.HasField("max_age") else None
    if max_age_s is not None and max_age_s < 0:
        raise refused(ErrorReason.MAX_AGE_INVALID, f"max_age is {max_age_s} s; give zero or more.")
    selection = _selected(definitions, request)
    for other in sorted(selection.join_keys - {definitions.key.name}):
        message = f"The join key {other} is missing, and the methods for users can't give it; use GetOnlineFeatures."
        raise refused(ErrorReason.ENTITY_KEY_MISSING, message, join_key=other)
    return Asked(selection, max_age_s, StalenessPolicy(request.staleness_policy or StalenessPolicy.FLAG))


def _selected(definitions: Definitions, request: Request) -> Selection:
    if request.contract_hash not in {"", definitions.contract_hash}:
        raise refused(
            ErrorReason.CONTRACT_MISMATCH,
            "The request was built for another contract than the gateway answers by.",
            requested_hash=request.contract_hash,
            contract_hash=definitions.contract_hash,
        )
    match request.WhichOneof("selection"):
        case "feature_service":
            return definitions.of_service(request.feature_service)
        case "feature_references":
            return definitions.of_references(request.feature_references.references)
        case _:
            return definitions.of_default()


def answers_of(row: Row, asked_for: Asked, request_data: Mapping[str, Any]) -> list[Answered]:
    """Return a user's selected features. Raises FailedPrecondition for values too old under the policy FAIL."""
    selection, policy = asked_for.selection, asked_for.policy
    now, ages, answers = datetime.now(UTC), {}, []
    for name, feature in zip(selection.names, selection.features, strict=True):
        cell = row.cells.get((feature.view, feature.name))
        if cell is None:
            status = FeatureStatus.NULL_VALUE if feature.view in row.views else FeatureStatus.NOT_FOUND
            answers.append(Answered(name, feature, None, status, None))
            continue
        value = _computed(cell.value, feature, request_data) if callable(cell.value) else cell.value
        status = cell.status or (FeatureStatus.NULL_VALUE if value is None else FeatureStatus.PRESENT)
        age_s = None if cell.event_timestamp is None else (now - cell.event_timestamp).total_seconds()
        limit_s = feature.max_age_s if asked_for.max_age_s is None else asked_for.max_age_s
        if status is FeatureStatus.PRESENT and age_s is not None and limit_s is not None and age_s > limit_s:
            status = FeatureStatus.OUTSIDE_MAX_AGE
        if status is FeatureStatus.OUTSIDE_MAX_AGE:
            ages[name] = f"{age_s or 0:.3f}"
            value = None if policy is StalenessPolicy.OMIT else value
        answers.append(Answered(name, feature, value, status, cell.event_timestamp))
    if ages and policy is StalenessPolicy.FAIL:
        named = ", ".join(f"{name} ({age_s} s)" for name, age_s in ages.items())
        raise refused(ErrorReason.FEATURES_TOO_OLD, f"Older than the maximum age: {named}", **ages)
    return answers


def _computed(function: Callable[[dict[str, Any]], Any], feature: Feature, request_data: Mapping[str, Any]) -> Any:
    """Return a value that a test computes. Raises InvalidArgument if its function fails, as a gateway does."""
    try:
        value = function(dict(request_data))
        put(FeatureMessage(), feature.dtype, value)
    except Exception as error:
        raise refused(
            ErrorReason.TRANSFORMATION_FAILED, f"{feature.reference} failed: {error!r}", feature_views=feature.view
        ) from error
    return value
