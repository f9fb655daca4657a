"""Surrounds every call of our methods: exceptions become statuses, and the observer gets each call's end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs import Event

from feature_gateway.access.credentials import Credentials
from feature_gateway.access.gate import Gate
from feature_gateway.errors import ERROR_DOMAIN, GatewayError, as_gateway_error
from feature_gateway.grpc_api.call_metadata import credentials_of
from feature_gateway.grpc_api.untaken import STALLED
from feature_gateway.observer import Observer
from feature_gateway.tracing.current import current_call

if TYPE_CHECKING:
    from feature_gateway.tracing.tracer import Tracing

_log = logging.getLogger(__name__)


class Guard:
    """Makes handlers that let callers in, and end a call that raised with the status of its error, details included.

    A handler gets the request, the context, and the caller; that of a stream the credentials, which may end before it.

    Not an interceptor: gRPC runs one for each call, ahead of the handler, and has a task or a coroutine for it.
    """

    def __init__(self, observer: Observer, gate: Gate, tracing: "Tracing | None" = None) -> None:
        """Create a guard; the observer gets the ends of unary calls, by method name, and the failures of streams."""
        self.in_flight = 0
        """How many calls are being answered."""

        self._observer = observer
        self._gate = gate
        self._tracing = tracing

    def guarded(self, handler: Any, full_method: str) -> Any:
        """Return the handler of a unary or of a bidirectional method with the guard around it."""
        if handler.unary_unary is None:
            return self._guarded_stream(handler, full_method)
        answer, deserialize = handler.unary_unary, handler.request_deserializer
        method = full_method.rpartition("/")[2]
        traced = self._tracing.grpc_method(full_method) if self._tracing is not None else None

        async def guarded(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            self.in_flight += 1
            span = traced.begin(context.invocation_metadata() or ()) if traced is not None else None
            if span is not None:
                # To the end of the task, which is the call's own.
                current_call.set(span)

            def tell(code: grpc.StatusCode, failure: GatewayError | None = None) -> None:
                self._observer.call_ended(
                    method, code, time.perf_counter() - started, span=span, **failure_fields(failure)
                )

            try:
                caller = await credentials_of(context, self._gate).caller()
                reply = await answer(deserialized(request, deserialize), context, caller)
            except grpc.aio.AbortError:
                tell(grpc.StatusCode.UNKNOWN)
                raise
            except asyncio.CancelledError:
                tell(_code_of_cancelled(context))
                raise
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
                failure = failure_of(error, full_method)
                tell(failure.code, failure)
                await _abort(context, failure)
            else:
                tell(grpc.StatusCode.OK)
                return reply
            finally:
                self.in_flight -= 1

        # Without a deserializer: gRPC would end a malformed request as UNKNOWN.
        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    def _guarded_stream(self, handler: Any, method: str) -> Any:
        async def requests(messages: AsyncIterator[bytes], credentials: Credentials) -> AsyncIterator[Any]:
            async for message in messages:
                await credentials.caller()
                yield deserialized(message, handler.request_deserializer)

        # It writes the replies itself: gRPC would end a stream whose write is cancelled without a status.
        async def guarded(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            self.in_flight += 1
            try:
                credentials = credentials_of(context, self._gate)
                await credentials.caller()
                asked = requests(messages, credentials)
                async with aclosing(handler.stream_stream(asked, context, credentials)) as replies:
                    async for reply in replies:
                        await context.write(reply)
            except grpc.aio.AbortError:
                raise
            except asyncio.CancelledError as cancelled:
                if cancelled.args != (STALLED,):
                    raise
                await self._fail_stream(context, GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, STALLED))
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
                await self._fail_stream(context, failure_of(error, method))
            finally:
                self.in_flight -= 1

        return grpc.stream_stream_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    def let_in(self, answer: Any) -> Callable[..., AsyncIterator[Any]]:
        """Return the answering of a stream's messages by a library, each a call of a caller that is let in."""

        async def requests(messages: AsyncIterator[Any], credentials: Credentials) -> AsyncIterator[Any]:
            async for message in messages:
                (await credentials.caller()).spend()
                yield message

        async def guarded(messages: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            credentials = credentials_of(context, self._gate)
            try:
                await credentials.caller()
                async for reply in answer(requests(messages, credentials), context):
                    yield reply
            except GatewayError as error:
                await _abort(context, error)

        return guarded

    async def _fail_stream(self, context: grpc.aio.ServicerContext[Any, Any], failure: GatewayError) -> None:
        self._observer.stream_failed(failure.reason)
        await _abort(context, failure)


def _code_of_cancelled(context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    # It is never below 0, and None without a deadline.
    return grpc.StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else grpc.StatusCode.CANCELLED


async def _abort(context: grpc.aio.ServicerContext[Any, Any], failure: GatewayError) -> None:
    await context.abort_with_status(status_of(failure))


def failure_of(error: Exception, method: str) -> GatewayError:
    """Return the error that a caller gets for an error of a method, and log an unforeseen one."""
    failure = as_gateway_error(error)
    if failure is not error:
        _log.error(Event("unforeseen failure", of=method), exc_info=error)
    return failure


def failure_fields(failure: GatewayError | None) -> dict[str, Any]:
    """Return the reason and the feature server of the error that a call ended with, for the observer."""
    return {} if failure is None else {"reason": failure.reason, "feature_server": failure.feature_server}


def status_of(failure: GatewayError) -> Any:
    """Return the status, details included, that a call ends with."""
    if failure.field is None and not failure.metadata:
        return _plain_status(failure.reason, failure.message, failure.retry_after_s)
    return rpc_status.to_status(rich_status(failure))


# Under overload most calls end with the same few statuses: making one is a sixth of what a refusal costs.
@lru_cache(maxsize=256)
def _plain_status(reason: ErrorReason.ValueType, message: str, retry_after_s: float | None) -> Any:
    return rpc_status.to_status(rich_status(GatewayError(reason, message, retry_after_s=retry_after_s)))


def deserialized(request: bytes, deserialize: Callable[[bytes], Any]) -> Any:
    """Return a request's message; raise GatewayError (REQUEST_MALFORMED) where `deserialize` raises DecodeError."""
    try:
        return deserialize(request)
    except DecodeError as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_REQUEST_MALFORMED, "The request is not a message of the method's type."
        ) from error


def rich_status(error: GatewayError) -> status_pb2.Status:
    """Return an error as google.rpc.Status with ErrorInfo, and BadRequest when a request field is at fault."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code.name), message=error.message)
    info = error_details_pb2.ErrorInfo(
        reason=ErrorReason.Name(error.reason), domain=ERROR_DOMAIN, metadata=error.metadata
    )
    _attach(status, info)
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        _attach(status, retry)
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    return status


def _attach(status: status_pb2.Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
