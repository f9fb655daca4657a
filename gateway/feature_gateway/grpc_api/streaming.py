"""Answers the messages of one stream, each as soon as its features are there."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

from grpc import StatusCode
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import GatewayError, as_gateway_error
from feature_gateway.grpc_api.messages import fill_error, fill_response, query_of, timeout_s_of
from feature_gateway.grpc_api.untaken import Stall, Untaken, memory_bytes
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer

_log = logging.getLogger(__name__)

_Request = user_feature_service_pb2.StreamUserFeaturesRequest
_Response = user_feature_service_pb2.StreamUserFeaturesResponse
_METHOD = "StreamUserFeatures"


async def answer_all(
    requests: AsyncIterator[_Request],
    lookup: Lookup,
    *,
    authorization: str,
    remaining_s: Callable[[], float | None],
    max_in_flight: int,
    ending: asyncio.Event,
    observer: Observer,
    untaken: Untaken,
    stall_s: float,
) -> AsyncIterator[_Response]:
    """Yield the answer of each request as soon as it is ready, until all requests are answered.

    At most `max_in_flight` requests are unanswered, and their answers take no more bytes than `untaken` has room for.
    Further requests are left unread, so that gRPC's flow control slows down a caller who takes no answers. The stream
    is cancelled when the caller takes no answer for `stall_s`. A request's failure is its answer, and the observer
    counts each request as a call. Once `ending` is set, no more requests are read: those that were read are answered,
    and then, unless the stream was at its end, GatewayError (SHUTTING_DOWN) is raised. Cancelled with its consumer.
    """
    room = asyncio.Semaphore(max_in_flight)
    answers: asyncio.Queue[tuple[_Response, int] | None] = asyncio.Queue()
    held = untaken.of_stream()
    stall = Stall(stall_s)

    async def answer(request: _Request, bytes_held: int) -> None:
        started = time.perf_counter()
        response, code = await _answer(request, lookup, authorization, remaining_s())
        observer.call_ended(_METHOD, code, time.perf_counter() - started)
        taken = memory_bytes(response.ByteSize())
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
        await asyncio.wait({reader, ended}, return_when=asyncio.FIRST_COMPLETED)
        reader.cancel()
        await asyncio.wait({reader})
        await asyncio.gather(*tasks)

    reader, ended = asyncio.create_task(read()), asyncio.create_task(ending.wait())
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
        if reader.cancelled() or not await reader:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SHUTTING_DOWN,
                "The gateway is ending; ask what it has not answered on another connection.",
            )
    finally:
        stall.close()
        everything = (finisher, reader, ended, *tasks)
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        held.close()


async def _answer(
    request: _Request, lookup: Lookup, authorization: str, stream_left_s: float | None
) -> tuple[_Response, StatusCode]:
    response = _Response(request_id=request.request_id)
    try:
        left_s = timeout_s_of(request.timeout) if request.HasField("timeout") else None
        if left_s is None or (stream_left_s is not None and stream_left_s < left_s):
            left_s = stream_left_s
        question = request.request
        features = await lookup.user_features(
            question.user_id, query_of(question, authorization=authorization), remaining_s=left_s
        )
        fill_response(response.response, features, serving_info=question.include_serving_info)
    except Exception as error:  # noqa: BLE001  # the boundary of a message: every failure becomes its answer
        failure = as_gateway_error(error)
        if not isinstance(error, GatewayError):
            _log.exception("unforeseen failure of a message")
        fill_error(response.error, failure)
        return response, failure.code
    return response, StatusCode.OK
