"""The channel of a sync client: how it is made, called and closed."""

import threading
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Self, TypeVar, Unpack

import grpc
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_features._batch_reply import parse_batch_reply, serialized
from streamflow_features._channel import BATCH_METHOD
from streamflow_features._connection import Connection, ConnectionOptions, connection_of
from streamflow_features._errors import from_rpc_error
from streamflow_features._forks import in_this_process
from streamflow_features._learned import Learned
from streamflow_features._once import Once
from streamflow_features._queries import QueryOptions, with_pinned
from streamflow_features._selections import ask
from streamflow_features._thread_merging import ThreadMerger
from streamflow_features._tracing import traced

Interceptor = (
    grpc.UnaryUnaryClientInterceptor
    | grpc.UnaryStreamClientInterceptor
    | grpc.StreamUnaryClientInterceptor
    | grpc.StreamStreamClientInterceptor
)
"""An interceptor of gRPC's sync client."""

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class _Opened:
    """What calls are made with; belongs to the process that makes the first call."""

    def __init__(
        self, made: Connection, given: grpc.Channel | None, interceptors: Sequence[Interceptor], *, merge_calls: bool
    ) -> None:
        """Opens a channel unless one is `given`."""
        channel = given or _channel_of(made)
        self.own_channel = None if given else channel
        calling = traced(grpc.intercept_channel(channel, *interceptors) if interceptors else channel)
        self.stub = UserFeatureServiceStub(calling)
        self.feast = ServingServiceStub(calling)
        self.batch_get = calling.unary_unary(
            BATCH_METHOD, request_serializer=serialized, response_deserializer=parse_batch_reply
        )
        self.merger = ThreadMerger(self.stub.GetUserFeatures, self.batch_get) if merge_calls else None
        self.metadata = in_this_process(made.metadata)

    def close(self) -> None:
        """End the calls under way, and close the channel unless it was given."""
        if self.merger is not None:
            self.merger.close()
        if self.own_channel is not None:
            self.own_channel.close()


def _channel_of(made: Connection) -> grpc.Channel:
    if made.credentials is None:
        return grpc.insecure_channel(made.target, options=made.channel_options)
    return grpc.secure_channel(made.target, made.credentials, options=made.channel_options)


class SyncChannel:
    """What FeatureClient's methods call with."""

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout_s: float | None = None,
        merge_calls: bool = True,
        channel: grpc.Channel | None = None,
        interceptors: Sequence[Interceptor] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        """Creates a client for `target`. The client connects on the first call.

        `target` is `host:port`, `dns:///name:port` or several addresses, `ipv4:10.0.0.1:50051,10.0.0.2:50051`; by
        default the variable STREAMFLOW_FEATURES_TARGET, else 127.0.0.1:50051. The client spreads calls over all
        addresses. `timeout_s` is each call's deadline in seconds; by default STREAMFLOW_FEATURES_TIMEOUT_S, else 1.
        `connection` are the keywords of ConnectionOptions: TLS, credentials, metadata, gRPC's options. Without TLS,
        connections are not encrypted.

        With `merge_calls`, calls of `get_user_features` that are made while others are under way leave together in one
        request. Each keeps its own deadline and error. Only calls with equal options and credentials share a request.

        `interceptors` are gRPC's client interceptors. With `channel`, the client uses a channel that the caller made
        and closes, and neither `target` nor what belongs to a connection can be given.

        Raises ValueError for what can't be used or combined, and OSError for a file that can't be read.
        """
        made = connection_of(target, timeout_s, own_channel=channel is not None, **connection)
        self._timeout_s = made.timeout_s
        self._pinned: QueryOptions = {}
        # gRPC starts threads with its first channel. They would be missing in the children of a fork, so a client that
        # has made no call has no channel.
        self._opened = Once(partial(_Opened, made, channel, interceptors, merge_calls=merge_calls))
        if channel is not None:
            self._opened()
        self._learned = Learned()
        self._closed = threading.Event()

    def bind(self, **options: Unpack[QueryOptions]) -> Self:
        """Return a client whose calls have these options unless they give their own.

        Typical are `feature_service` and `contract_hash`; `check` tells whether a gateway answers by them. The two
        clients share connections: closing one closes both. Raises ValueError when a service and references are given.
        """
        pinned = with_pinned(self._pinned, options)
        # Raises what a call would raise.
        ask("", **pinned)
        bound = copy(self)
        bound._pinned = pinned  # noqa: SLF001  # a client of this class
        return bound

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request, timeout_s: float | None
    ) -> _Response:
        try:
            return method(request, timeout=self._within_s(timeout_s), metadata=self._opened().metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def _within_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def close(self) -> None:
        """Close the channel, unless the caller made it. Calls in flight fail with UNAVAILABLE or CANCELLED."""
        self._closed.set()
        self._opened().close()

    def __enter__(self) -> Self:
        """Return the client. The end of the block closes the client."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the channel."""
        self.close()
