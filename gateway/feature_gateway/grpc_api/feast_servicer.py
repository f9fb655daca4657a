"""Feast's own gRPC service: request message, lookup, reply message."""

from importlib.metadata import version
from typing import TYPE_CHECKING

from streamflow.features.feast.serving import ServingService_pb2
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceServicer

from feature_gateway.grpc_api.call_metadata import authorization_of
from feature_gateway.grpc_api.feast_reply import reply_of
from feature_gateway.grpc_api.feast_request import columns_of, selected
from feature_gateway.lookup.lookup import Lookup

if TYPE_CHECKING:
    from streamflow.features.feast.serving.ServingService_pb2_grpc import _ServicerContext


class FeastServicer(ServingServiceServicer):
    """Answers Feast's ServingService from a lookup."""

    def __init__(self, lookup: Lookup) -> None:
        """Create a servicer."""
        self._lookup = lookup
        self._version = f"feature-gateway {version('feature-gateway')}"

    async def GetFeastServingInfo(  # noqa: N802  # the method's name in the API
        self, request: ServingService_pb2.GetFeastServingInfoRequest, context: "_ServicerContext"
    ) -> ServingService_pb2.GetFeastServingInfoResponse:
        """Return the gateway's version."""
        del request, context
        return ServingService_pb2.GetFeastServingInfoResponse(version=self._version)

    async def GetOnlineFeatures(  # noqa: N802  # the method's name in the API
        self, request: ServingService_pb2.GetOnlineFeaturesRequest, context: "_ServicerContext"
    ) -> ServingService_pb2.GetOnlineFeaturesResponse:
        """Return features of one row or several."""
        feature_set = selected(request, self._lookup.contract)
        answers = await self._lookup.rows(
            feature_set,
            columns_of(request, feature_set),
            authorization=authorization_of(context),
            remaining_s=context.time_remaining(),
        )
        return reply_of(request, feature_set, answers)
