"""The gRPC service: request message, lookup, reply message."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.access.caller import Caller
from feature_gateway.access.credentials import Credentials
from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.call_metadata import remaining_s_of
from feature_gateway.grpc_api.messages import fill_feature_service, query_of
from feature_gateway.grpc_api.request_values import python_values
from feature_gateway.grpc_api.streaming import answer_all
from feature_gateway.grpc_api.untaken import Untaken
from feature_gateway.grpc_api.user_reply import batch_response_of, response_of
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from feature_gateway.tracing.current import current_call

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan
    from feature_gateway.tracing.tracer import TracedMethod

_Context = grpc.aio.ServicerContext[Any, bytes]


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """What streams may take."""

    max_streams: int
    max_in_flight: int
    """The unanswered messages of one stream."""
    max_stream_bytes: int
    """The bytes of one stream's answers that have not been taken."""
    max_bytes: int
    """The bytes of all streams' answers that have not been taken."""
    stall_s: float
    """How long one answer may wait to be taken."""


class UserFeatureServicer:
    """Answers UserFeatureService from a lookup; all of its replies are serialized."""

    def __init__(
        self, lookup: Lookup, *, limits: StreamLimits, observer: Observer, traced: "TracedMethod | None" = None
    ) -> None:
        """Create a servicer whose streams keep within `limits`; `traced` traces the messages of streams."""
        self._traced = traced
        self._lookup = lookup
        self._limits = limits
        self._untaken = Untaken(max_stream_bytes=limits.max_stream_bytes, max_bytes=limits.max_bytes)
        self._streams = 0
        self._observer = observer
        self._ending = asyncio.Event()

    @property
    def lookup(self) -> Lookup:
        """What it answers from."""
        return self._lookup

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams

    def end_streams(self) -> None:
        """Stop reading streams, and end each stream when the messages that were read are answered."""
        self._ending.set()

    async def GetUserFeatures(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.GetUserFeaturesRequest, context: _Context, caller: Caller
    ) -> bytes:
        """Return one user's features."""
        query = query_of(request, caller=caller)
        answer = await self._lookup.user_features(request.user_id, query, remaining_s=remaining_s_of(context))
        return response_of(answer, serving_info=request.include_serving_info)

    async def BatchGetUserFeatures(  # noqa: N802  # the method's name in the API
        self,
        request: user_feature_service_pb2.BatchGetUserFeaturesRequest,
        context: _Context,
        caller: Caller,
    ) -> bytes:
        """Return several users' features."""
        query = query_of(request, caller=caller)
        contract_hash = self._lookup.contract.hash
        answers = await self._lookup.batch_user_features(
            request.user_ids,
            query,
            remaining_s=remaining_s_of(context),
            request_data_by_user=[python_values(one.values) for one in request.request_data_by_user],
        )
        return batch_response_of(answers, contract_hash, serving_info=request.include_serving_info)

    async def StreamUserFeatures(  # noqa: N802  # the method's name in the API
        self,
        request_iterator: AsyncIterator[user_feature_service_pb2.StreamUserFeaturesRequest],
        context: _Context,
        credentials: Credentials,
    ) -> AsyncIterator[bytes]:
        """Answer each message as soon as its features are there."""
        if self._streams >= self._limits.max_streams:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"This gateway has {self._limits.max_streams} streams open, the most that it takes.",
                retry_after_s=1.0,
            )
        self._streams += 1
        answers = answer_all(
            request_iterator,
            self._lookup,
            credentials=credentials,
            remaining_s=lambda: remaining_s_of(context),
            max_in_flight=self._limits.max_in_flight,
            ending=self._ending,
            observer=self._observer,
            untaken=self._untaken,
            stall_s=self._limits.stall_s,
            begin=self._begins(context),
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            self._streams -= 1

    def _begins(self, context: _Context) -> Callable[[], "CallSpan | None"]:
        """Return what begins the span of a message: a trace of its own, linked to what the stream carries."""
        traced = self._traced
        if traced is None:
            return lambda: None
        metadata = context.invocation_metadata() or ()

        def begin() -> "CallSpan | None":
            span = traced.begin(metadata, apart=True)
            # To the end of the task, which is the message's own.
            current_call.set(span)
            return span

        return begin

    async def GetFeatureService(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.GetFeatureServiceRequest, context: Any, caller: Caller
    ) -> bytes:
        """Describe a feature service that the caller may read."""
        del context
        caller.spend()
        caller.check_service(request.name)
        contract = self._lookup.contract
        response = user_feature_service_pb2.GetFeatureServiceResponse(
            join_key=self._lookup.user_join_key, contract_hash=contract.hash
        )
        fill_feature_service(response.feature_service, request.name, contract.feature_set_of_service(request.name))
        return response.SerializeToString()

    async def ListFeatureServices(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.ListFeatureServicesRequest, context: Any, caller: Caller
    ) -> bytes:
        """Describe the feature services that the caller may read."""
        del request, context
        caller.spend()
        contract = self._lookup.contract
        response = user_feature_service_pb2.ListFeatureServicesResponse(
            join_key=self._lookup.user_join_key, contract_hash=contract.hash
        )
        for name, feature_set in sorted(contract.services.items()):
            if caller.may_read_service(name):
                fill_feature_service(response.feature_services.add(), name, feature_set)
        return response.SerializeToString()
