"""Builds the API's request messages."""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import TypedDict, Unpack

from google.protobuf.duration_pb2 import Duration
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.request_data_pb2 import RequestData
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    GetUserFeaturesRequest,
    StreamUserFeaturesRequest,
)

from streamflow_features._request_data import RequestDataValue, request_values

_NS_PER_S = 1_000_000_000


class StalenessPolicy(IntEnum):
    """What happens to a value older than its maximum age."""

    FLAG = user_feature_service_pb2.STALENESS_POLICY_FLAG
    """The value is kept, with the status OUTSIDE_MAX_AGE."""

    OMIT = user_feature_service_pb2.STALENESS_POLICY_OMIT
    """The value is left out, with the status OUTSIDE_MAX_AGE."""

    FAIL = user_feature_service_pb2.STALENESS_POLICY_FAIL
    """The call raises FailedPrecondition. The error's metadata has the features and their ages."""


class ReadOptions(TypedDict, total=False):
    """The optional keywords of all calls for users' features, whatever selects the features."""

    max_age_s: float | None
    """The age in seconds from which a value is too old. Replaces the maximum age of every feature view."""

    staleness_policy: StalenessPolicy
    """What happens to a value that is too old. The default is FLAG."""

    include_serving_info: bool
    """Whether the result has a serving_info."""


class QueryOptions(ReadOptions, total=False):
    """The optional keywords of all calls for users' features."""

    feature_service: str | None
    """All features of this service."""

    features: Sequence[str] | None
    """Feature references, such as "subs_profile_fv:monthly_fee", in the order of the reply. Not together with
    feature_service. With neither, the gateway's default feature service is selected."""

    contract_hash: str | None
    """The hash of the contract that the caller was built for. Another contract raises FailedPrecondition."""

    request_data: Mapping[str, RequestDataValue] | None
    """The values that on-demand features are computed from, by the names in `FeatureService.request_data`: a bool, an
    int, a float, a str, or a list of one of them. In a batch, those of all users."""


def with_pinned(pinned: QueryOptions, options: QueryOptions) -> QueryOptions:
    """Return a call's options and the pinned ones that it does not give.

    A call that selects features replaces the pinned selection.
    """
    if not pinned:
        return options
    both = pinned.copy()
    if options.get("feature_service") is not None or options.get("features") is not None:
        both.pop("feature_service", None)
        both.pop("features", None)
    both.update(options)
    return both


class Question:
    """One question of a stream."""

    def __init__(self, user_id: str, *, timeout_s: float | None = None, **options: Unpack[QueryOptions]) -> None:
        """Creates a question with the parameters of `get_user_features`.

        Raises ValueError when a service and references are given, and TypeError for what can't be request data.
        """
        self.user_id = user_id
        """The user's id."""
        self.timeout_s = timeout_s
        """The question's deadline in seconds. None: the stream's."""
        self._options = options
        self._request = user_request(user_id, **options)

    def message(self, request_id: int, *, timeout_s: float, pinned: QueryOptions) -> StreamUserFeaturesRequest:
        """Return the question as a message of the stream, with the pinned options that it does not give."""
        request = user_request(self.user_id, **with_pinned(pinned, self._options)) if pinned else self._request
        return StreamUserFeaturesRequest(
            request_id=request_id, request=request, timeout=_duration(timeout_s, name="timeout_s")
        )

    def __repr__(self) -> str:
        return f"Question(user_id={self.user_id!r})"


def user_request(user_id: str, **options: Unpack[QueryOptions]) -> GetUserFeaturesRequest:
    """Return the request for one user's features. Raises ValueError when a service and references are given."""
    request = GetUserFeaturesRequest(user_id=user_id)
    _fill(request, **options)
    return request


def batch_request(
    user_ids: Iterable[str],
    *,
    request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
    **options: Unpack[QueryOptions],
) -> BatchGetUserFeaturesRequest:
    """Return the request for several users' features. Raises ValueError when a service and references are given."""
    _refuse_one_text("user_ids", user_ids)
    request = BatchGetUserFeaturesRequest(
        user_ids=user_ids,
        request_data_by_user=[RequestData(values=request_values(data)) for data in request_data_by_user],
    )
    _fill(request, **options)
    return request


def _fill(
    request: GetUserFeaturesRequest | BatchGetUserFeaturesRequest,
    *,
    feature_service: str | None = None,
    features: Sequence[str] | None = None,
    max_age_s: float | None = None,
    staleness_policy: StalenessPolicy = StalenessPolicy.FLAG,
    contract_hash: str | None = None,
    include_serving_info: bool = False,
    request_data: Mapping[str, RequestDataValue] | None = None,
) -> None:
    if feature_service is not None and features is not None:
        raise ValueError("give either feature_service or features, not both")
    if feature_service is not None:
        request.feature_service = feature_service
    if features is not None:
        _refuse_one_text("features", features)
        request.feature_references.SetInParent()
        request.feature_references.references.extend(features)
    if max_age_s is not None:
        request.max_age.CopyFrom(_duration(max_age_s, name="max_age_s"))
    request.staleness_policy = user_feature_service_pb2.StalenessPolicy.ValueType(StalenessPolicy(staleness_policy))
    request.contract_hash = contract_hash or ""
    request.include_serving_info = include_serving_info
    for name, value in request_values(request_data or {}).items():
        request.request_data[name].CopyFrom(value)


def _refuse_one_text(name: str, texts: Iterable[str]) -> None:
    # A text is an iterable of its characters.
    if isinstance(texts, str):
        raise TypeError(f"{name} is one text; give a list of texts")


def _duration(seconds: float, *, name: str) -> Duration:
    if not math.isfinite(seconds):
        raise ValueError(f"{name} is {seconds}; give a finite number of seconds")
    whole, part = divmod(round(seconds * _NS_PER_S), _NS_PER_S)
    return Duration(seconds=whole, nanos=part)
