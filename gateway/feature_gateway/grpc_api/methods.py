"""Registers methods whose replies are serialized already, as generated code registers others."""

from collections.abc import Callable
from typing import Any

import grpc
from streamflow.features.feast.serving import ServingService_pb2
from streamflow.features.v1 import user_feature_service_pb2

from feature_gateway.grpc_api.feast_servicer import FeastServicer
from feature_gateway.grpc_api.guard import Guard
from feature_gateway.grpc_api.servicer import UserFeatureServicer

OURS = user_feature_service_pb2.DESCRIPTOR.services_by_name["UserFeatureService"]
FEASTS = ServingService_pb2.DESCRIPTOR.services_by_name["ServingService"]


def add_user_features(servicer: UserFeatureServicer, server: grpc.aio.Server, guard: Guard) -> None:
    """Add UserFeatureService to a server, with the guard around each method."""
    pb2 = user_feature_service_pb2
    handlers = {
        "GetUserFeatures": _unary(servicer.GetUserFeatures, pb2.GetUserFeaturesRequest),
        "BatchGetUserFeatures": _unary(servicer.BatchGetUserFeatures, pb2.BatchGetUserFeaturesRequest),
        "StreamUserFeatures": grpc.stream_stream_rpc_method_handler(
            servicer.StreamUserFeatures, request_deserializer=pb2.StreamUserFeaturesRequest.FromString
        ),
        "GetFeatureService": _unary(servicer.GetFeatureService, pb2.GetFeatureServiceRequest),
        "ListFeatureServices": _unary(servicer.ListFeatureServices, pb2.ListFeatureServicesRequest),
    }
    _add(OURS.full_name, handlers, server, guard)


def add_feasts(servicer: FeastServicer, server: grpc.aio.Server, guard: Guard) -> None:
    """Add Feast's ServingService to a server, with the guard around each method."""
    handlers = {
        "GetFeastServingInfo": _unary(servicer.GetFeastServingInfo, ServingService_pb2.GetFeastServingInfoRequest),
        # Its servicer reads it, by the forms that requests have.
        "GetOnlineFeatures": grpc.unary_unary_rpc_method_handler(
            servicer.GetOnlineFeatures, request_deserializer=bytes
        ),
    }
    _add(FEASTS.full_name, handlers, server, guard)


def _unary(answer: Callable[..., Any], request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=request.FromString)


def _add(service: str, unguarded: dict[str, Any], server: grpc.aio.Server, guard: Guard) -> None:
    handlers = {name: guard.guarded(handler, f"/{service}/{name}") for name, handler in unguarded.items()}
    # Registered, beside generic: some servers answer only these methods without a detour.
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_registered_method_handlers(service, handlers)
