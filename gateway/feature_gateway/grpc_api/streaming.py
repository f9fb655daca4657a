"""Answers the messages of one stream, each as soon as its features are there."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from grpc import StatusCode
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.credentials import Credentials
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.guard import failure_fields, failure_of
from feature_gateway.grpc_api.messages import fill_error, query_of, timeout_s_of
from feature_gateway.grpc_api.untaken import Stall, Untaken, UntakenOfStream, memory_bytes
from feature_gateway.grpc_api.user_reply import response_of
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from feature_gateway.wire import VARINT, heads, tag, varint

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan

_Request = user_feature_service_pb2.StreamUserFeaturesRequest
_Response = user_feature_service_pb2.StreamUserFeaturesResponse
_METHOD = "StreamUserFeatures"

# Fields of the response.
_REQUEST_ID, _RESPONSE = tag(1, VARINT), heads(2)


async def answer_all(
    requests: AsyncIterator[_Request],
    lookup: Lookup,
    *,
    credentials: Credentials,
    remaining_s: Callable[[], float | None],
    max_in_flight: int,
    ending: asyncio.Event,
    observer: Observer,
    untaken: Untaken,
    stall_s: float,
    begin: Callable[[], "CallSpan | None"] = lambda: None,
) -> AsyncIterator[bytes]:
    """Yield the answer of each request, serialized, as soon as it is ready, until all requests are answered.

    At most `max_in_flight` requests are unanswered, and their answers take no more bytes than `untaken` has room for.
    Further requests are left unread, so that gRPC's flow control slows down a caller who takes no answers. The stream
    is cancelled when the caller takes no answer for `stall_s`. A request's failure is its answer, and the observer
    counts each request as a call, with the span that `begin` begins. Once `ending` is set, no more requests are read:
    those that were read are answered, and then, unless the stream was at its end, GatewayError (SHUTTING_DOWN) is
    raised. The same when the `credentials` end, with the GatewayError of that. Cancelled with its consumer.
    """
    room = asyncio.Semaphore(max_in_flight)
    answers: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
    held = untaken.of_stream()
    stall = Stall(stall_s)

    async def answer(request: _Request, bytes_held: int) -> None:
        started, span = time.perf_counter(), begin()
        response, failure = await _answer(request, lookup, credentials, remaining_s())
        code = StatusCode.OK if failure is None else failure.code
        observer.call_ended(_METHOD, code, time.perf_counter() - started, span=span, **failure_fields(failure))
        taken = memory_bytes(len(response))
        held.answered(bytes_held, taken)
        answers.put_nowait((response, taken))

    tasks: set[asyncio.Task[None]] = set()

    async def read() -> bool:
        """Return whether the stream's end was reached."""
        # Room first: every request that has been read is answered, even if reading ends.
        await room.acquire()
        bytes_held = await held.reserve()
        async for request in requests:
            if ending.is_set():
                # It came between the end and the cancellation of this task.
                return False
            task = asyncio.create_task(answer(request, bytes_held))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await room.acquire()
            bytes_held = await held.reserve()
        return True

    async def finish() -> None:
        # Also when a malformed request ends the stream: earlier requests are answered.
        await asyncio.wait({reader, ended, refused}, return_when=asyncio.FIRST_COMPLETED)
        reader.cancel()
        await asyncio.wait({reader})
        await asyncio.gather(*tasks)

    reader, ended = asyncio.create_task(read()), asyncio.create_task(ending.wait())
    refused = asyncio.create_task(credentials.refused())
    finisher = asyncio.create_task(finish())
    finisher.add_done_callback(lambda _: answers.put_nowait(None))
    try:
        while (answered := await answers.get()) is not None:
            response, taken = answered
            stall.begin()
            yield response
            stall.end()
            # Room only once the answer has been taken.
            room.release()
            held.release(taken)
        await finisher
        if refused.done():
            await refused
        if reader.cancelled() or not await reader:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SHUTTING_DOWN,
                "The gateway is ending; ask what it has not answered on another connection.",
            )
    finally:
        stall.close()
        await _end((finisher, reader, ended, refused, *tasks), held)


async def _end(tasks: Sequence[asyncio.Task[Any]], held: UntakenOfStream) -> None:
    """Cancel a stream's tasks, and give its memory back, also if the caller leaves meanwhile."""
    for task in tasks:
        task.cancel()
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        held.close()


async def _answer(
    request: _Request, lookup: Lookup, credentials: Credentials, stream_left_s: float | None
) -> tuple[bytes, GatewayError | None]:
    """Return an answer, and the error that its call ended with."""
    try:
        left_s = timeout_s_of(request.timeout) if request.HasField("timeout") else None
        if left_s is None or (stream_left_s is not None and stream_left_s < left_s):
            left_s = stream_left_s
        question = request.request
        features = await lookup.user_features(
            question.user_id, query_of(question, caller=await credentials.caller()), remaining_s=left_s
        )
        response = response_of(features, serving_info=question.include_serving_info)
    except Exception as error:  # noqa: BLE001  # the boundary of a message: every failure becomes its answer
        failure = failure_of(error, "a message")
        answer = _Response(request_id=request.request_id)
        fill_error(answer.error, failure)
        return answer.SerializeToString(), failure
    return _REQUEST_ID + varint(request.request_id) + _RESPONSE[len(response)] + response, None
