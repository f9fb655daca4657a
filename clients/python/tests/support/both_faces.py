"""Both faces of the client as one: each of its methods is awaited."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web
from gateway_fakes import feast_answer
from streamflow_features import Answer, AsyncFeatureClient, FeatureClient, FeatureServingError, Question

TIMEOUT_S = 20


class Asker:
    """One face of the client; each of its methods is awaited."""

    def __init__(self, client: FeatureClient | AsyncFeatureClient) -> None:
        self.client = client

    async def __call__(self, method: str, *positional: Any, **keywords: Any) -> Any:
        if isinstance(self.client, FeatureClient):
            return await asyncio.to_thread(getattr(self.client, method), *positional, **keywords)
        return await getattr(self.client, method)(*positional, **keywords)

    async def failure(self, method: str, *positional: Any, **keywords: Any) -> FeatureServingError:
        with pytest.raises(FeatureServingError) as raised:
            await self(method, *positional, **keywords)
        return raised.value

    async def close(self) -> None:
        closing = self.client.close()
        if closing is not None:
            await closing

    async def stream(self, questions: AsyncIterable[Question], **keywords: Any) -> AsyncGenerator[Answer, None]:
        """The answers of a stream; a sync client takes the questions in a thread, and gives the answers in another."""
        if isinstance(self.client, AsyncFeatureClient):
            async with aclosing(self.client.stream_user_features(questions, **keywords)) as answers:
                async for answer in answers:
                    yield answer
            return
        loop = asyncio.get_running_loop()
        sync_answers = self.client.stream_user_features(_in_a_thread(questions, loop), **keywords)

        def following() -> Answer | None:
            return next(sync_answers, None)

        try:
            while (taken := await asyncio.to_thread(following)) is not None:
                yield taken
        finally:
            await asyncio.to_thread(sync_answers.close)


def _in_a_thread(questions: AsyncIterable[Question], loop: asyncio.AbstractEventLoop) -> Iterator[Question]:
    remaining = aiter(questions)

    async def following() -> Question | None:
        return await anext(remaining, None)

    while (question := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield question


@asynccontextmanager
async def asking(face: str, target: str, *, timeout_s: float = TIMEOUT_S, **options: Any) -> AsyncIterator[Asker]:
    """A client of a target: "sync" or "asyncio"."""
    if face == "sync":
        with FeatureClient(target, timeout_s=timeout_s, **options) as client:
            yield Asker(client)
    else:
        async with AsyncFeatureClient(target, timeout_s=timeout_s, **options) as async_client:
            yield Asker(async_client)


async def asked(questions: Iterable[Question]) -> AsyncIterator[Question]:
    """Questions as a stream takes them."""
    for question in questions:
        yield question


async def all_answers(ask: Asker, *questions: Question, **keywords: Any) -> dict[Question, Any]:
    """What came of each question, in the order of the answers."""
    results: dict[Question, Any] = {}
    async with asyncio.timeout(TIMEOUT_S):
        async for answer in ask.stream(asked(questions), **keywords):
            assert answer.question not in results
            results[answer.question] = answer.result
    assert set(results) == set(questions)
    return results


async def echo_user(request: web.Request) -> web.Response:
    """Answers with each user's number as its months_active."""
    body = orjson.loads(await request.read())
    answer = feast_answer(body)
    column = answer["metadata"]["feature_names"].index("profile_fv__months_active")
    answer["results"][column]["values"] = [int(user_id[:4]) for user_id in body["entities"]["user_id"]]
    return web.json_response(answer)
