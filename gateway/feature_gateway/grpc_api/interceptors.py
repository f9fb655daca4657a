"""Surrounds every gRPC call: exceptions become statuses, and the observer gets each call's end."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import ERROR_DOMAIN, GatewayError, as_gateway_error
from feature_gateway.grpc_api.untaken import STALLED
from feature_gateway.observer import Observer

_log = logging.getLogger(__name__)

_OUR_METHODS = f"/{ERROR_DOMAIN}."


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Ends a call that raised with the status of its error, details included."""

    def __init__(self, observer: Observer) -> None:
        """Create an interceptor; the observer gets the ends of unary calls, by method name without the service."""
        self._observer = observer
        self._guarded: dict[str, Any] = {}
        """Wrapped handlers by method; unknown methods have none, so the server's methods bound the size."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a unary method, or of a bidirectional method of ours; leave others unchanged."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return handler
            guarded = self._guarded[method] = self._guard(handler, method)
        return guarded

    def _guard(self, handler: Any, full_method: str) -> Any:
        if handler.stream_stream is not None and full_method.startswith(_OUR_METHODS):
            return self._guarded_stream(handler, full_method)
        if handler.unary_unary is None:
            return handler
        answer, deserialize = handler.unary_unary, handler.request_deserializer
        awaited = inspect.iscoroutinefunction(answer)
        method = full_method.rpartition("/")[2]

        async def guarded(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()

            def tell(code: grpc.StatusCode) -> None:
                self._observer.call_ended(method, code, time.perf_counter() - started)

            try:
                reply = answer(_deserialized(request, deserialize), context)
                reply = await reply if awaited else reply
            except grpc.aio.AbortError:
                tell(grpc.StatusCode.UNKNOWN)
                raise
            except asyncio.CancelledError:
                tell(_code_of_cancelled(context))
                raise
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
                tell(as_gateway_error(error).code)
                await _abort(context, error, full_method)
            else:
                tell(grpc.StatusCode.OK)
                return reply

        # Without a deserializer: gRPC would end a malformed request as UNKNOWN.
        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)

    @staticmethod
    def _guarded_stream(handler: Any, method: str) -> Any:
        async def requests(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            async for message in messages:
                yield _deserialized(message, handler.request_deserializer)

        # It writes the replies itself: gRPC would end a stream whose write is cancelled without a status.
        async def guarded(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                async with aclosing(handler.stream_stream(requests(messages), context)) as replies:
                    async for reply in replies:
                        await context.write(reply)
            except grpc.aio.AbortError:
                raise
            except asyncio.CancelledError as cancelled:
                if cancelled.args != (STALLED,):
                    raise
                await _abort(context, GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, STALLED), method)
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
                await _abort(context, error, method)

        return grpc.stream_stream_rpc_method_handler(guarded, response_serializer=handler.response_serializer)


def _code_of_cancelled(context: grpc.aio.ServicerContext[Any, Any]) -> grpc.StatusCode:
    # It is never below 0, and None without a deadline.
    return grpc.StatusCode.DEADLINE_EXCEEDED if context.time_remaining() == 0 else grpc.StatusCode.CANCELLED


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception, method: str) -> None:
    failure = as_gateway_error(error)
    if failure is not error:
        _log.error("unforeseen failure of %s", method, exc_info=error)
    await context.abort_with_status(_status_of(failure))


def _status_of(failure: GatewayError) -> Any:
    if failure.field is None and not failure.metadata:
        return _plain_status(failure.reason, failure.message, failure.retry_after_s)
    return rpc_status.to_status(rich_status(failure))


# Under overload most calls end with the same few statuses: making one is a sixth of what a refusal costs.
@lru_cache(maxsize=256)
def _plain_status(reason: ErrorReason.ValueType, message: str, retry_after_s: float | None) -> Any:
    return rpc_status.to_status(rich_status(GatewayError(reason, message, retry_after_s=retry_after_s)))


def _deserialized(request: bytes, deserialize: Callable[[bytes], Any]) -> Any:
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
