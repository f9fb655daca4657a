"""Whatever comes of the requests for many users, each user gets its own result, by the rule alone."""

from dataclasses import dataclass, field

import grpc
from hypothesis import given, settings
from hypothesis import strategies as st
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_PRESENT, Feature
from streamflow.features.v1.feature_pb2 import UserFeatures as UserFeaturesMessage
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, CallError, UserResult
from streamflow_features import ErrorReason, FailedPrecondition, FeatureServingError, QueryOptions, UserFeatures
from streamflow_features._batch_reply import BatchReply
from streamflow_features._errors import error_of
from streamflow_features._learned import Learned
from streamflow_features._many import Chunk, ManyUsers

_WAIT_S = 0.5


@dataclass
class Gateway:
    """Answers requests as the drawn data say, until it has failed often enough to answer all that follow."""

    data: st.DataObject
    max_users: int
    asked: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    """How often each user was refused with a time to wait."""
    failures: int = 0

    def answer(self, request: BatchGetUserFeaturesRequest, *, contract: str) -> BatchReply | FeatureServingError:
        users = list(request.user_ids)
        if len(users) > self.max_users:
            metadata = {"max_users": str(self.max_users)}
            reason = ErrorReason.USER_IDS_TOO_MANY
            return error_of(grpc.StatusCode.INVALID_ARGUMENT, "too many", reason=reason, metadata=metadata)
        for user in users:
            self.asked[user] = self.asked.get(user, 0) + 1
        outcome = self.data.draw(st.sampled_from(["answered"] * 3 + ["down", "busy", "busy in part"]))
        if outcome == "down":
            return error_of(grpc.StatusCode.UNAVAILABLE, "down")
        busy = {"busy": users, "busy in part": users[::2]}.get(outcome, [])
        for user in busy:
            self.refused[user] = self.refused.get(user, 0) + 1
        if outcome == "busy":
            return error_of(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_after_s=_WAIT_S)
        return BatchReply(
            [_result(user, contract, busy=user in busy).SerializeToString() for user in users], contract, None
        )


def _result(user: str, contract: str, *, busy: bool) -> UserResult:
    if busy:
        error = CallError(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="busy")
        error.retry_delay.FromMilliseconds(int(_WAIT_S * 1000))
        return UserResult(user_id=user, error=error)
    feature = Feature(name="id", status=FEATURE_STATUS_PRESENT, string_value=f"{user} {contract}")
    return UserResult(user_id=user, user_features=UserFeaturesMessage(user_id=user, features=[feature]))


@settings(deadline=None)
@given(
    data=st.data(),
    users=st.integers(1, 30),
    max_users=st.integers(1, 12),
    max_concurrency=st.integers(1, 4),
    retries=st.integers(0, 3),
    rolls=st.booleans(),
)
def test_each_user_gets_its_own_result_and_no_request_is_made_that_may_not_be(
    *, data: st.DataObject, users: int, max_users: int, max_concurrency: int, retries: int, rolls: bool
) -> None:
    told: list[int] = []
    gateway = Gateway(data, max_users)
    user_ids = [str(number) for number in range(users)]
    learned = Learned(10)
    work = ManyUsers(
        user_ids,
        learned,
        QueryOptions(),
        max_concurrency=max_concurrency,
        retries=retries,
        progress=lambda done, _total: told.append(done),
    )
    now, under_way, contract = 0.0, list[Chunk](), "before"
    try:
        while not work.is_done:
            while (chunk := work.next_chunk(now)) is not None:
                under_way.append(chunk)
            assert len(under_way) <= max_concurrency
            if not under_way:
                pause_s = work.pause_s(now)
                assert pause_s is not None
                assert 0 < pause_s <= _WAIT_S
                now += pause_s
                continue
            chunk = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            if rolls and data.draw(st.booleans()):
                contract = "after"
            work.ended(chunk, gateway.answer(work.request(chunk), contract=contract), now)
    except FailedPrecondition:
        raise AssertionError("a rollout that ends was told as one that does not") from None
    batch = work.batch()
    assert batch.user_ids == tuple(user_ids)
    for user_id, result in zip(user_ids, batch, strict=True):
        if isinstance(result, UserFeatures):
            assert result["id"] == f"{user_id} {batch.contract_hash}"
        else:
            assert str(result) in {"down", "busy"}
        # Once for each contract, and as often again as the caller allows.
        assert gateway.asked[user_id] <= (1 + retries) * (1 + 3 * rolls)
        if str(result) == "busy":
            assert gateway.refused[user_id] > retries
    assert told == sorted(told)
    assert told[-1] == users
    assert learned.max_batch_users == min(10, max_users) or users <= 10
