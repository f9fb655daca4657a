"""What surrounds every gRPC call: exceptions become statuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.errors import (
    ERROR_DOMAIN,
    GatewayError,
    RequestMalformedError,
    as_gateway_error,
    entry_of,
)

_log = logging.getLogger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Ends a unary call that raised with the status that the error table has for it, details included."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a unary method; leave others as they are."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        answer, deserialize = handler.unary_unary, handler.request_deserializer

        async def guarded(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                reply = answer(_deserialized(request, deserialize), context)
                return await reply if asyncio.iscoroutine(reply) else reply
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001  # the boundary: every failure becomes a status
                failure = as_gateway_error(error)
                if failure is not error:
                    _log.exception("unforeseen failure of %s", handler_call_details.method)
                await context.abort_with_status(rpc_status.to_status(rich_status(failure)))

        # Without a deserializer of its own: bytes that are no message would end in gRPC as UNKNOWN.
        return grpc.unary_unary_rpc_method_handler(guarded, response_serializer=handler.response_serializer)


def _deserialized(request: bytes, deserialize: Callable[[bytes], Any]) -> Any:
    try:
        return deserialize(request)
    except DecodeError as error:
        raise RequestMalformedError("The request is not a message of the method's type.") from error


def rich_status(error: GatewayError) -> status_pb2.Status:
    """Return an error as google.rpc.Status with ErrorInfo, and BadRequest when a request field is at fault."""
    entry = entry_of(error)
    status = status_pb2.Status(code=code_pb2.Code.Value(entry.code.name), message=error.message)
    info = error_details_pb2.ErrorInfo(
        reason=ErrorReason.Name(entry.reason), domain=ERROR_DOMAIN, metadata=error.metadata
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
