"""Feast's own gRPC service: request message, lookup, reply message."""

from importlib.metadata import version
from typing import Any

import grpc
from streamflow.features.feast.serving import ServingService_pb2

from feature_gateway.access.caller import Caller
from feature_gateway.grpc_api.call_metadata import remaining_s_of
from feature_gateway.grpc_api.feast_forms import FeastForms
from feature_gateway.grpc_api.feast_reply import reply_of
from feature_gateway.grpc_api.guard import deserialized
from feature_gateway.lookup.lookup import Lookup


class FeastServicer:
    """Answers Feast's ServingService from a lookup; all of its replies are serialized."""

    def __init__(self, lookup: Lookup) -> None:
        """Create a servicer."""
        self._lookup = lookup
        self._forms = FeastForms()
        self._version = f"feature-gateway {version('feature-gateway')}"

    async def GetFeastServingInfo(  # noqa: N802  # the method's name in the API
        self,
        request: ServingService_pb2.GetFeastServingInfoRequest,
        context: grpc.aio.ServicerContext[Any, bytes],
        caller: Caller,
    ) -> bytes:
        """Return the gateway's version."""
        del request, context
        caller.spend()
        return ServingService_pb2.GetFeastServingInfoResponse(version=self._version).SerializeToString()

    async def GetOnlineFeatures(  # noqa: N802  # the method's name in the API
        self, request: bytes, context: grpc.aio.ServicerContext[Any, bytes], caller: Caller
    ) -> bytes:
        """Return features of one row or several, of an encoded GetOnlineFeaturesRequest."""
        contract = self._lookup.contract
        question = deserialized(request, lambda encoded: self._forms.question(encoded, contract, caller=caller))
        answers = await self._lookup.rows(
            question.feature_set,
            question.columns,
            caller=caller,
            remaining_s=remaining_s_of(context),
        )
        return reply_of(question, answers)
