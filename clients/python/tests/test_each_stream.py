"""The stream of both clients, at a real gateway and at the fake: one suite, the same answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from both_faces import TIMEOUT_S, Asker, all_answers
from places import USER, user
from streamflow_features import (
    Answer,
    FailedPrecondition,
    InvalidArgument,
    Question,
    StalenessPolicy,
    UserFeatures,
)


@pytest.fixture
def ask(ask_either: Asker) -> Asker:
    return ask_either


async def test_every_question_gets_its_own_answer(ask: Asker) -> None:
    questions = [Question(user(number % 200)) for number in range(600)]
    results = await all_answers(ask, *questions)
    for question, result in results.items():
        assert result.user_id == question.user_id
        assert result["months_active"] == int(question.user_id[:4])


async def test_no_questions_get_no_answers(ask: Asker) -> None:
    assert await all_answers(ask) == {}


async def test_a_question_may_ask_what_a_call_may(ask: Asker) -> None:
    current = (await ask("get_user_features", USER)).contract_hash
    plain = Question(USER)
    scores = Question(USER, feature_service="scores_v1", contract_hash=current, include_serving_info=True)
    omitted = Question(USER, features=["profile_fv:months_active"], max_age_s=1, staleness_policy=StalenessPolicy.OMIT)
    results = await all_answers(ask, plain, scores, omitted)
    assert results[plain]["months_active"] == 1
    assert results[plain].serving_info is None
    assert list(results[scores]) == ["profile_fv__score", "usage_fv__score"]
    assert results[scores].serving_info.upstream_time_s > 0
    assert dict(results[omitted]) == {"months_active": None}


async def test_what_is_wrong_with_a_question_is_its_own_answer(ask: Asker) -> None:
    bad, stale, good = Question("nobody"), Question(USER, contract_hash="sha256:00"), Question(USER)
    results = await all_answers(ask, bad, stale, good)
    assert isinstance(results[bad], InvalidArgument)
    assert results[bad].reason == "ERROR_REASON_USER_ID_MALFORMED"
    assert isinstance(results[stale], FailedPrecondition)
    assert results[stale].metadata["requested_hash"] == "sha256:00"
    assert isinstance(results[good], UserFeatures)


async def test_no_more_questions_are_taken_than_may_be_unanswered(ask: Asker) -> None:
    taken, answered, most = 0, 0, 0

    async def counted() -> AsyncIterator[Question]:
        nonlocal taken, most
        for number in range(50):
            taken += 1
            most = max(most, taken - answered)
            yield Question(user(number))

    async with asyncio.timeout(TIMEOUT_S):
        async for _ in ask.stream(counted(), max_in_flight=3):
            answered += 1
    assert (taken, answered, most) == (50, 50, 3)


async def test_a_conversation_may_wait_for_its_next_question(ask: Asker) -> None:
    questions: asyncio.Queue[Question] = asyncio.Queue()

    async def one_by_one() -> AsyncIterator[Question]:
        while True:
            yield await questions.get()

    async with asyncio.timeout(TIMEOUT_S), aclosing(ask.stream(one_by_one())) as answers:
        for number in range(3):
            question = Question(user(number))
            questions.put_nowait(question)
            answer: Answer = await anext(answers)
            assert answer.question is question


async def test_what_the_questions_raise_is_raised(ask: Asker) -> None:
    async def broken() -> AsyncIterator[Question]:
        yield Question(USER)
        raise RuntimeError("no more")

    answers = ask.stream(broken())
    with pytest.raises(RuntimeError, match="no more"):
        _ = [answer async for answer in answers]
