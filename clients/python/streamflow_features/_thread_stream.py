"""A stream for callers without an event loop: the conversation of `_stream` in a thread, over gRPC's sync calls."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

import grpc
from streamflow.features.v1.user_feature_service_pb2 import StreamUserFeaturesRequest, StreamUserFeaturesResponse

from streamflow_features._errors import closed
from streamflow_features._queries import QueryOptions, Question
from streamflow_features._stream import Answer, Conversation

OpenCall = Callable[[Iterator[StreamUserFeaturesRequest]], Any]
"""Opens a call by an iterator of requests. The call is an iterator of responses."""


def answers_of(
    questions: Iterable[Question],
    open_call: OpenCall,
    *,
    is_closed: Callable[[], bool],
    pinned: QueryOptions,
    timeout_s: float,
    max_in_flight: int,
) -> Generator[Answer, None, None]:
    """Yield one answer for each question, as `_stream.answers_of` does. Closing the generator ends the call.

    Raises Cancelled when the client `is_closed`.
    """
    call = partial(_Call, open_call, is_closed)
    make = partial(Conversation, call, pinned=pinned, timeout_s=timeout_s, max_in_flight=max_in_flight)
    talk = _Talk(questions, make)
    try:
        while (answer := talk.answers.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            yield answer
            talk.answer_taken()
    finally:
        talk.end()


class _Talk:
    """A conversation in its own thread. `end` ends it."""

    def __init__(self, questions: Iterable[Question], make: Callable[[], Conversation]) -> None:
        self.answers: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        """None, or what the questions raised, is the last."""
        self._questions = questions
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._conversation: Conversation | None = None
        # The context has the caller's trace.
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)
        self._thread.start()

    def answer_taken(self) -> None:
        if self._conversation is not None:
            self._loop.call_soon_threadsafe(self._conversation.answer_taken)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._converse())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _converse(self) -> None:
        self._conversation = conversation = self._make()
        conversation.begin(_taken_by_a_thread(self._questions))
        passing_on = asyncio.ensure_future(self._pass_on(conversation))
        await self._over.wait()
        passing_on.cancel()
        await conversation.end()
        await asyncio.wait([passing_on])

    async def _pass_on(self, conversation: Conversation) -> None:
        try:
            while (answer := await conversation.next_answer()) is not None:
                self.answers.put(answer)
        except Exception as error:  # noqa: BLE001  # what the questions raise is raised where the answers are taken
            self.answers.put(error)
        else:
            self.answers.put(None)


class _Call:
    """A call of gRPC's sync API, as a conversation uses one. Belongs to an event loop."""

    def __init__(self, open_call: OpenCall, is_closed: Callable[[], bool]) -> None:
        self._is_closed = is_closed
        self._loop = asyncio.get_running_loop()
        self._requests: queue.SimpleQueue[StreamUserFeaturesRequest | None] = queue.SimpleQueue()
        self._responses: asyncio.Queue[StreamUserFeaturesResponse | grpc.RpcError | None] = asyncio.Queue()
        self._call = open_call(iter(self._requests.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    async def write(self, request: StreamUserFeaturesRequest) -> None:
        """Send a question. What is sent after the call's end is lost; the reader of the call asks again."""
        self._requests.put(request)

    def cancel(self) -> object:
        """End the call."""
        return self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[StreamUserFeaturesResponse]:
        """Yield the responses. Raises RpcError, and Cancelled when the client was closed."""
        while (response := await self._responses.get()) is not None:
            if isinstance(response, grpc.RpcError):
                raise closed() if self._is_closed() else response
            yield response

    def _read(self) -> None:
        last: grpc.RpcError | None = None
        try:
            for response in self._call:
                self._tell(response)
        except grpc.RpcError as error:
            last = error
        self._requests.put(None)
        self._tell(last)

    def _tell(self, response: StreamUserFeaturesResponse | grpc.RpcError | None) -> None:
        # The loop is closed when the caller has gone.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._responses.put_nowait, response)


async def _taken_by_a_thread(questions: Iterable[Question]) -> AsyncIterator[Question]:
    """Yield what an iterable has, which can wait as long as it likes. Raises what the iterable raises."""
    loop = asyncio.get_running_loop()
    wanted: queue.SimpleQueue[asyncio.Future[Question | None] | None] = queue.SimpleQueue()

    def take() -> None:
        remaining: Iterator[Question] | None = None
        while (future := wanted.get()) is not None:
            taken: Question | BaseException | None
            try:
                remaining = iter(questions) if remaining is None else remaining
                taken = next(remaining, None)
            except BaseException as error:  # noqa: BLE001  # belongs to the caller
                taken = error
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, taken)

    threading.Thread(target=copy_context().run, args=(take,), daemon=True).start()
    try:
        while True:
            future: asyncio.Future[Question | None] = loop.create_future()
            wanted.put(future)
            question = await future
            if question is None:
                return
            yield question
    finally:
        wanted.put(None)


def _settle(future: "asyncio.Future[Question | None]", taken: Question | BaseException | None) -> None:
    if future.done():
        return
    if isinstance(taken, BaseException):
        future.set_exception(taken)
    else:
        future.set_result(taken)
