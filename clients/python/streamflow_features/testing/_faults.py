"""What a test orders of a server besides features: errors and latency."""

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from streamflow.features.v1 import error_reason_pb2
from streamflow.features.v1.user_feature_service_pb2 import CallError

from streamflow_features._errors import FeatureServingError

_DOMAIN = "streamflow.features.v1"


@dataclass(frozen=True, slots=True)
class Order:
    """What happens to one call."""

    latency_s: float = 0.0
    error: FeatureServingError | None = None


class Orders:
    """The orders of calls to come. Threads can share it."""

    def __init__(self) -> None:
        """Creates orders of no calls."""
        self._next: deque[Order] = deque()

    def add(self, order: Order, *, calls: int) -> None:
        """Order the same for some calls, behind those that have an order already."""
        self._next.extend([order] * calls)

    def of_next_call(self) -> Order:
        """Return what happens to the call that is there now."""
        try:
            return self._next.popleft()
        except IndexError:
            return Order()


def abort(context: Any, error: FeatureServingError) -> NoReturn:
    """End a call as a gateway ends it: with the error's reason, metadata and delay in the details."""
    info = error_details_pb2.ErrorInfo(reason=str(error.reason or ""), domain=_DOMAIN, metadata=error.metadata)
    details = [info] if error.reason else []
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        details.append(retry)
    status = status_pb2.Status(code=error.code.value[0], message=str(error), details=map(_packed, details))
    context.set_trailing_metadata(
        (
            ("grpc-status-details-bin", status.SerializeToString()),
            # What a test orders is the caller's, so the client's gRPC doesn't try again.
            ("grpc-retry-pushback-ms", "-1"),
        )
    )
    context.abort(error.code, str(error))
    raise AssertionError("abort raises")


def call_error(error: FeatureServingError) -> CallError:
    """Return an error as a part of a reply."""
    message = CallError(code=error.code.value[0], message=str(error), metadata=error.metadata)
    if error.reason is not None:
        message.reason = error_reason_pb2.ErrorReason.Value(str(error.reason))
    if error.retry_after_s is not None:
        message.retry_delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
    return message


def _packed(detail: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
