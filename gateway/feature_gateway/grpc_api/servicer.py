"""The gRPC service: request message, lookup, reply message."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer

from feature_gateway.errors import GatewayError
from feature_gateway.grpc_api.call_metadata import authorization_of
from feature_gateway.grpc_api.messages import (
    fill_feature_service,
    fill_response,
    fill_result,
    fill_serving_info,
    query_of,
)
from feature_gateway.grpc_api.request_values import python_values
from feature_gateway.grpc_api.streaming import answer_all
from feature_gateway.grpc_api.untaken import Untaken
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.lookup.query import UserFeatures
from feature_gateway.observer import Observer

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import _ServicerContext


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


class UserFeatureServicer(UserFeatureServiceServicer):
    """Answers UserFeatureService from a lookup."""

    def __init__(self, lookup: Lookup, *, limits: StreamLimits, observer: Observer) -> None:
        """Create a servicer whose streams keep within `limits`."""
        self._lookup = lookup
        self._limits = limits
        self._untaken = Untaken(max_stream_bytes=limits.max_stream_bytes, max_bytes=limits.max_bytes)
        self._streams = 0
        self._observer = observer
        self._ending = asyncio.Event()

    def end_streams(self) -> None:
        """Stop reading streams, and end each stream when the messages that were read are answered."""
        self._ending.set()

    async def GetUserFeatures(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.GetUserFeaturesRequest, context: "_ServicerContext"
    ) -> user_feature_service_pb2.GetUserFeaturesResponse:
        """Return one user's features."""
        query = query_of(request, authorization=authorization_of(context))
        answer = await self._lookup.user_features(request.user_id, query, remaining_s=context.time_remaining())
        response = user_feature_service_pb2.GetUserFeaturesResponse()
        fill_response(response, answer, serving_info=request.include_serving_info)
        return response

    async def BatchGetUserFeatures(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.BatchGetUserFeaturesRequest, context: "_ServicerContext"
    ) -> user_feature_service_pb2.BatchGetUserFeaturesResponse:
        """Return several users' features."""
        query = query_of(request, authorization=authorization_of(context))
        contract_hash = self._lookup.contract.hash
        answers = await self._lookup.batch_user_features(
            request.user_ids,
            query,
            remaining_s=context.time_remaining(),
            request_data_by_user=[python_values(one.values) for one in request.request_data_by_user],
        )
        response = user_feature_service_pb2.BatchGetUserFeaturesResponse(contract_hash=contract_hash)
        for answer in answers:
            fill_result(response.results.add(), answer)
        served = [answer for answer in answers if isinstance(answer, UserFeatures)]
        if request.include_serving_info and served:
            fill_serving_info(response.serving_info, served)
        return response

    async def StreamUserFeatures(  # noqa: N802  # the method's name in the API
        self,
        request_iterator: AsyncIterator[user_feature_service_pb2.StreamUserFeaturesRequest],
        context: "_ServicerContext",
    ) -> AsyncIterator[user_feature_service_pb2.StreamUserFeaturesResponse]:
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
            authorization=authorization_of(context),
            remaining_s=context.time_remaining,
            max_in_flight=self._limits.max_in_flight,
            ending=self._ending,
            observer=self._observer,
            untaken=self._untaken,
            stall_s=self._limits.stall_s,
        )
        try:
            async for answer in answers:
                yield answer
        finally:
            self._streams -= 1

    async def GetFeatureService(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.GetFeatureServiceRequest, context: Any
    ) -> user_feature_service_pb2.GetFeatureServiceResponse:
        """Describe a feature service."""
        del context
        contract = self._lookup.contract
        response = user_feature_service_pb2.GetFeatureServiceResponse(
            join_key=self._lookup.user_join_key, contract_hash=contract.hash
        )
        fill_feature_service(response.feature_service, request.name, contract.feature_set_of_service(request.name))
        return response

    async def ListFeatureServices(  # noqa: N802  # the method's name in the API
        self, request: user_feature_service_pb2.ListFeatureServicesRequest, context: Any
    ) -> user_feature_service_pb2.ListFeatureServicesResponse:
        """Describe all feature services."""
        del request, context
        contract = self._lookup.contract
        response = user_feature_service_pb2.ListFeatureServicesResponse(
            join_key=self._lookup.user_join_key, contract_hash=contract.hash
        )
        for name, feature_set in sorted(contract.services.items()):
            fill_feature_service(response.feature_services.add(), name, feature_set)
        return response
