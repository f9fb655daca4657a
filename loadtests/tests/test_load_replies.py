"""What a load test makes of replies that are wrong, whichever of its targets they come from."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesResponse, GetUserFeaturesResponse
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.scenarios import Kind
from streamflow_loadtests.load.targets import TARGETS, Features, check

_OPTIONS: Any = SimpleNamespace(timeout_s=1)
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


_REPLIES: dict[str, Callable[..., Any]] = {
    "gateway-grpc": _grpc_reply,
    "gateway-http": _http_reply,
    "feast-http": _feast_reply,
}


def _check(target: str, reply: Any, question: Question) -> None:
    """Check a reply as a locust user of the target does: from the reply's bytes."""
    api = TARGETS[target].api(_FEATURES, _OPTIONS)
    content = orjson.dumps(reply) if isinstance(reply, dict) else reply.SerializeToString()
    check(api.replies(api.request(question.user_ids), content), question, _FEATURES)


@pytest.mark.parametrize("target", _REPLIES)
def test_a_wrong_reply_is_found_out(target: str) -> None:
    reply = _REPLIES[target]
    one = Question(("0001-ABCDE",), Kind.ONE)
    nobody = Question(("0001-ABCDE",), Kind.UNKNOWN)
    _check(target, reply(), one)
    _check(target, reply(known=False), nobody)
    for wrong, question, why in (
        (reply("0002-ABCDE"), one, "another user than was asked for"),
        (reply(known=False), one, "a user that the store has is unknown"),
        (reply(), nobody, "a user that nobody has is known"),
        (reply(features=1), one, "1 features, not 2"),
    ):
        with pytest.raises(CallError, match=why):
            _check(target, wrong, question)


def test_a_wrong_batch_is_found_out() -> None:
    question = Question(("0001-ABCDE", "0002-ABCDE"), Kind.BATCH)
    _check("gateway-grpc", _batch_reply("0001-ABCDE", "0002-ABCDE"), question)
    for wrong, why in (
        (_batch_reply("0001-ABCDE"), "another number of users"),
        (_batch_reply("0002-ABCDE", "0001-ABCDE"), "another user"),
        (_batch_reply("0001-ABCDE", "0002-ABCDE", code=14), "a user of the batch: UNAVAILABLE"),
    ):
        with pytest.raises(CallError, match=why):
            _check("gateway-grpc", wrong, question)
    with pytest.raises(CallError, match="another user"):
        _check("feast-http", _feast_reply(rows=2), question)
    with pytest.raises(CallError, match="another number of users"):
        _check("feast-http", _feast_reply(rows=3), question)


@pytest.mark.parametrize("target", _REPLIES)
def test_a_reply_of_another_form_is_found_out(target: str) -> None:
    api = TARGETS[target].api(_FEATURES, _OPTIONS)
    for content in (b"{", b"[]", b'{"detail": "none"}'):
        with pytest.raises(CallError, match=r"^malformed reply: "):
            api.replies(api.request(["0001-ABCDE"]), content)
