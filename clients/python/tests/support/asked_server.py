"""A server that remembers what it was asked, and where it listens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from grpc_servers import served
from streamflow.features.v1.feature_pb2 import UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import (
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    FeatureService,
    GetFeatureServiceRequest,
    GetFeatureServiceResponse,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
    ListFeatureServicesResponse,
    UserResult,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceServicer

CONTRACT_HASH = "sha256:00"


@dataclass
class AskedServer(UserFeatureServiceServicer):
    """Remembers what it was asked, and the metadata of it."""

    # Not called by these tests.
    StreamUserFeatures: ClassVar[Any] = None

    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)

    def _asked(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))

    def GetUserFeatures(self, request: GetUserFeaturesRequest, context: Any) -> GetUserFeaturesResponse:  # noqa: N802
        self._asked(request, context)
        return GetUserFeaturesResponse(user_features=UserFeatures(user_id=request.user_id), contract_hash=CONTRACT_HASH)

    def BatchGetUserFeatures(  # noqa: N802
        self, request: BatchGetUserFeaturesRequest, context: Any
    ) -> BatchGetUserFeaturesResponse:
        self._asked(request, context)
        results = [UserResult(user_features=UserFeatures(user_id=user_id)) for user_id in request.user_ids]
        return BatchGetUserFeaturesResponse(results=results, contract_hash=CONTRACT_HASH)

    def GetFeatureService(self, request: GetFeatureServiceRequest, context: Any) -> GetFeatureServiceResponse:  # noqa: N802
        self._asked(request, context)
        return GetFeatureServiceResponse(feature_service=FeatureService(name=request.name), contract_hash=CONTRACT_HASH)

    def ListFeatureServices(self, request: Any, context: Any) -> ListFeatureServicesResponse:  # noqa: N802
        self._asked(request, context)
        return ListFeatureServicesResponse(contract_hash=CONTRACT_HASH)


@pytest.fixture
def asked_server() -> AskedServer:
    return AskedServer()


@pytest.fixture
def asked_target(asked_server: AskedServer) -> Iterator[str]:
    """Where `asked_server` listens."""
    with served(asked_server) as running:
        yield running
