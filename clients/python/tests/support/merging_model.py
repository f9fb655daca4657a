"""What calls get that are merged: the answers of a gateway, and what each caller must get of them."""

from collections.abc import Sequence

import grpc
from grpc.aio import AioRpcError, Metadata
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2 import CallError, GetUserFeaturesResponse, UserResult
from streamflow_features import DeadlineExceeded, FeatureServingError, InvalidArgument, UserFeatures
from streamflow_features._batch_reply import BatchReply
from streamflow_features._merging import LaneKey
from streamflow_features._selections import ask

BAD = "bad"
"""No user id."""

ELSEWHERE = "elsewhere"
"""How the ids of users begin whom the gateway can't read in a batch: their callers ask again, alone."""

FAILURES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
)
"""What a request can end with."""

AGES = (None, 1.0)
TOKENS = ("", "p", "q")


def key_of(which: int, token: str) -> LaneKey:
    """Return what calls have in common that ask with one of AGES and a token."""
    selection, _ = ask("", max_age_s=AGES[which])
    return LaneKey(selection, (("authorization", token),) if token else ())


def failure(code: grpc.StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), "failed")


def response_of(user_id: str, age: str, token: str) -> GetUserFeaturesResponse:
    return GetUserFeaturesResponse(user_features=_features(user_id, age, token))


def reply_of(user_ids: Sequence[str], age: str, token: str) -> BatchReply:
    return BatchReply([_result(one, age, token).SerializeToString() for one in user_ids], "", None)


def assert_own_outcome(ended: UserFeatures | BaseException, user_id: str, age: float | None, token: str) -> None:
    """A caller gets its own features, or its own error."""
    if isinstance(ended, UserFeatures):
        assert user_id != BAD
        assert ended["seen"] == f"{user_id}/{age}/{token}"
        return
    assert isinstance(ended, FeatureServingError), repr(ended)
    if isinstance(ended, InvalidArgument):
        assert user_id == BAD
    elif ended.code not in FAILURES:
        assert isinstance(ended, DeadlineExceeded)


def _features(user_id: str, age: str, token: str) -> feature_pb2.UserFeatures:
    feature = feature_pb2.Feature(name="seen", string_value=f"{user_id}/{age}/{token}")
    return feature_pb2.UserFeatures(user_id=user_id, features=[feature])


def _result(user_id: str, age: str, token: str) -> UserResult:
    if user_id == BAD:
        return UserResult(error=_error(grpc.StatusCode.INVALID_ARGUMENT, ErrorReason.ERROR_REASON_USER_ID_MALFORMED))
    if user_id.startswith(ELSEWHERE):
        return UserResult(error=_error(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_UPSTREAM_UNAVAILABLE))
    return UserResult(user_features=_features(user_id, age, token))


def _error(code: grpc.StatusCode, reason: ErrorReason.ValueType) -> CallError:
    return CallError(code=code.value[0], reason=reason)
