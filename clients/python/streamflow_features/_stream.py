"""Matches a stream's questions with their answers, over one or more calls."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from streamflow.features.v1.user_feature_service_pb2 import StreamUserFeaturesRequest, StreamUserFeaturesResponse

from streamflow_features._errors import FeatureServingError, closed, error_of, from_call_error, from_rpc_error
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._queries import QueryOptions, Question


class Call(Protocol):
    """A call of StreamUserFeatures, as gRPC's asyncio API has it."""

    async def write(self, request: StreamUserFeaturesRequest, /) -> None:
        """Send a question."""

    def __aiter__(self) -> AsyncIterator[StreamUserFeaturesResponse]:
        """Yield the responses. Raises RpcError."""

    def cancel(self) -> object:
        """End the call."""


DEFAULT_MAX_IN_FLIGHT = 1000

# A stream breaks before the channel knows that its connection is gone, and the next one may be put on the same
# connection. The pauses are those of the retry policy of the other calls.
_PAUSES_S = (0.01, 0.08, 0.1)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question."""

    question: Question
    """The same object that was passed in."""

    result: UserFeatures | FeatureServingError
    """The features, or the error that a call would have raised."""


@dataclass(slots=True, eq=False)
class _Asked:
    question: Question
    deadline: float
    """On the event loop's clock."""
    timer: asyncio.TimerHandle
    times: int = 0
    call: Call | None = None
    """The call that last asked the question."""


async def answers_of(
    questions: AsyncIterable[Question],
    open_call: Callable[[], Call],
    *,
    pinned: QueryOptions,
    timeout_s: float,
    max_in_flight: int,
) -> AsyncGenerator[Answer, None]:
    """Yield one answer for each question, in the order of arrival. At most `max_in_flight` answers are outstanding.

    A question that has no answer by its deadline is answered with DeadlineExceeded; `timeout_s` is the deadline of a
    question without its own. `pinned` are the options that questions have unless they give their own. When a call ends
    early, the unanswered questions are asked again over a new call, up to three times. Raises what `questions` raises.
    """
    conversation = Conversation(open_call, pinned=pinned, timeout_s=timeout_s, max_in_flight=max_in_flight)
    conversation.begin(questions)
    try:
        while (answer := await conversation.next_answer()) is not None:
            yield answer
            conversation.answer_taken()
    finally:
        await conversation.end()


class Conversation:
    """Questions and their answers. Belongs to an event loop."""

    def __init__(
        self, open_call: Callable[[], Call], *, pinned: QueryOptions, timeout_s: float, max_in_flight: int
    ) -> None:
        """Creates a conversation; the parameters are those of `answers_of`."""
        self._open_call = open_call
        self._pinned = pinned
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(max_in_flight)
        self._unanswered: dict[int, _Asked] = {}
        self._to_ask: asyncio.Queue[int] = asyncio.Queue()
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        self._exhausted = False
        self._call: Call | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._ending = False

    def begin(self, questions: AsyncIterable[Question]) -> None:
        """Take questions from now on."""
        self._start(self._take(questions))
        self._start(self._ask())

    async def next_answer(self) -> Answer | None:
        """Return the next answer, None after the last. Raises what the questions raise."""
        answer = await self._answers.get()
        if answer is None and self._failure is not None:
            raise self._failure
        return answer

    def answer_taken(self) -> None:
        """Make room for another question."""
        # Only now: a caller who takes no answers must get no more.
        self._room.release()

    async def end(self) -> None:
        """End the call and the tasks."""
        self._ending = True
        if self._call is not None:
            self._call.cancel()
        for asked in self._unanswered.values():
            asked.timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._ending:
            return
        if task.cancelled():
            self._failure = closed()
        else:
            self._failure = self._failure or task.exception()
        if self._failure is not None:
            self._answers.put_nowait(None)

    async def _take(self, questions: AsyncIterable[Question]) -> None:
        remaining = aiter(questions)
        for request_id in itertools.count(1):
            await self._room.acquire()
            try:
                question = await anext(remaining)
            except StopAsyncIteration:
                break
            timeout_s = self._timeout_s if question.timeout_s is None else question.timeout_s
            timer = self._loop.call_later(timeout_s, self._run_out, request_id)
            self._unanswered[request_id] = _Asked(question, self._loop.time() + timeout_s, timer)
            self._to_ask.put_nowait(request_id)
        self._exhausted = True
        self._end_if_all_is_answered()

    async def _ask(self) -> None:
        while True:
            request_id = await self._to_ask.get()
            asked = self._unanswered.get(request_id)
            if asked is None:
                continue
            if self._call is None:
                self._call = self._open_call()
                self._start(self._read(self._call))
            asked.call = call = self._call
            asked.times += 1
            remaining_s = max(0.0, asked.deadline - self._loop.time())
            message = asked.question.message(request_id, timeout_s=remaining_s, pinned=self._pinned)
            try:
                await call.write(message)
            except (grpc.RpcError, asyncio.InvalidStateError):
                # _read gets the reason and decides about the call's questions.
                continue

    async def _read(self, call: Call) -> None:
        failure = error_of(grpc.StatusCode.UNAVAILABLE, "The gateway ended the stream with unanswered questions.")
        try:
            async for response in call:
                self._answer(response.request_id, _result(response))
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
        if self._call is call:
            self._call = None
        for request_id, asked in list(self._unanswered.items()):
            if asked.call is not call:
                continue
            if asked.times <= len(_PAUSES_S) and _worth_another_call(failure):
                asked.call = None
                self._loop.call_later(_PAUSES_S[asked.times - 1], self._to_ask.put_nowait, request_id)
            else:
                self._answer(request_id, failure)

    def _run_out(self, request_id: int) -> None:
        self._answer(request_id, error_of(grpc.StatusCode.DEADLINE_EXCEEDED, "No answer arrived before the deadline."))

    def _answer(self, request_id: int, result: UserFeatures | FeatureServingError) -> None:
        asked = self._unanswered.pop(request_id, None)
        # None: the deadline has passed.
        if asked is not None:
            asked.timer.cancel()
            self._answers.put_nowait(Answer(asked.question, result))
            self._end_if_all_is_answered()

    def _end_if_all_is_answered(self) -> None:
        if self._exhausted and not self._unanswered:
            self._answers.put_nowait(None)


def _worth_another_call(failure: FeatureServingError) -> bool:
    # An error without a reason does not come from the gateway: CANCELLED when the connection was cut, and INTERNAL when
    # the end of the stream met a write (https://github.com/grpc/grpc/issues/36066).
    return failure.code is grpc.StatusCode.UNAVAILABLE or failure.reason is None


def _result(response: StreamUserFeaturesResponse) -> UserFeatures | FeatureServingError:
    if response.HasField("error"):
        return from_call_error(response.error)
    return user_features(response.response)
