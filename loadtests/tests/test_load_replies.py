"""What a load test makes of replies that are wrong, whichever of its targets they come from."""

from collections.abc import Callable
from typing import Any

import pytest
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesResponse, GetUserFeaturesResponse
from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.scenarios import Kind
from streamflow_loadtests.load.targets import CallError, FeastHttp, Features, GatewayGrpc, GatewayHttp, Target

_FEATURES = Features(service="churn_v1", join_key="user_id", references=("a_fv:x", "b_fv:y"))


def _grpc_reply(user_id: str = "0001-ABCDE", *, known: bool = True, features: int = 2) -> GetUserFeaturesResponse:
    reply = GetUserFeaturesResponse()
    reply.user_features.user_id, reply.user_features.user_known = user_id, known
    for number in range(features):
        reply.user_features.features.add(name=f"f{number}")
    return reply


def _batch_reply(*user_ids: str, code: int | None = None) -> BatchGetUserFeaturesResponse:
    reply = BatchGetUserFeaturesResponse()
    for user_id in user_ids:
        reply.results.add(user_id=user_id).user_features.CopyFrom(_grpc_reply(user_id).user_features)
    if code is not None:
        reply.results[-1].error.code = code
    return reply


def _http_reply(user_id: str = "0001-ABCDE", *, known: bool = True, features: int = 2) -> dict[str, Any]:
    return {"user_id": user_id, "user_known": known, "features": {f"f{number}": 1 for number in range(features)}}


def _feast_reply(
    user_id: str = "0001-ABCDE", *, known: bool = True, features: int = 2, rows: int = 1
) -> dict[str, Any]:
    stamp = "2024-02-29T00:00:00Z" if known else "1970-01-01T00:00:00Z"
    columns = [{"values": [1] * rows, "event_timestamps": [stamp] * rows} for _ in range(features)]
    return {
        "metadata": {"feature_names": ["user_id", *(f"f{number}" for number in range(features))]},
        "results": [{"values": [user_id] * rows, "event_timestamps": ["1970-01-01T00:00:00Z"] * rows}, *columns],
    }


_TARGETS: dict[str, tuple[Target, Callable[..., Any]]] = {
    "gRPC": (GatewayGrpc("127.0.0.1:1", _FEATURES), _grpc_reply),
    "HTTP": (GatewayHttp("http://127.0.0.1:1", _FEATURES, timeout_s=1), _http_reply),
    "feast": (FeastHttp("http://127.0.0.1:1", _FEATURES, timeout_s=1), _feast_reply),
}


@pytest.mark.parametrize("target", _TARGETS)
def test_a_wrong_reply_is_found_out(target: str) -> None:
    asked, reply = _TARGETS[target]
    one = Question(("0001-ABCDE",), Kind.ONE)
    nobody = Question(("0001-ABCDE",), Kind.UNKNOWN)
    asked.check(reply(), one)
    asked.check(reply(known=False), nobody)
    for wrong, question, why in (
        (reply("0002-ABCDE"), one, "another user than was asked for"),
        (reply(known=False), one, "a user that the store has is unknown"),
        (reply(), nobody, "a user that nobody has is known"),
        (reply(features=1), one, "1 features, not 2"),
    ):
        with pytest.raises(CallError, match=why):
            asked.check(wrong, question)


def test_a_wrong_batch_is_found_out() -> None:
    question = Question(("0001-ABCDE", "0002-ABCDE"), Kind.BATCH)
    gateway, feast = _TARGETS["gRPC"][0], _TARGETS["feast"][0]
    gateway.check(_batch_reply("0001-ABCDE", "0002-ABCDE"), question)
    for wrong, why in (
        (_batch_reply("0001-ABCDE"), "another number of users"),
        (_batch_reply("0002-ABCDE", "0001-ABCDE"), "another user"),
        (_batch_reply("0001-ABCDE", "0002-ABCDE", code=14), "a user of the batch: UNAVAILABLE"),
    ):
        with pytest.raises(CallError, match=why):
            gateway.check(wrong, question)
    with pytest.raises(CallError, match="another user"):
        feast.check(_feast_reply(rows=2), question)
    with pytest.raises(CallError, match="another number of users"):
        feast.check(_feast_reply(rows=3), question)
