"""How the drills' load asks: one gateway over a plain channel, or several through the project's own Python client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from streamflow.features.v1.feature_pb2 import FEATURE_STATUS_NOT_FOUND
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, GetUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_features import AsyncFeatureClient, FeatureServingError, FeatureStatus, UserFeatures

from streamflow_loadtests.bed.data import FEATURE_SERVICE


class CallFailedError(Exception):
    """A call ended with a status that is not OK."""

    def __init__(self, code: str) -> None:
        """Take the name of the gRPC status code."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Told:
    """What a reply says."""

    user_id: str

    user_known: bool
    """Whether anything is known of the user."""

    values: Mapping[str, object]

    not_found: frozenset[str]
    """The features that were not found."""


class TimedCaller(Protocol):
    """Connections to gateways. `ask` is on the clock, `read` is not."""

    async def ask(self, user_id: str, *, timeout_s: float) -> Any:
        """Return the reply to a request for one user, whose deadline is `timeout_s`. Raises CallFailedError."""

    def read(self, reply: Any) -> Told:
        """Return what a reply says."""

    async def close(self) -> None:
        """Close the connections."""


class PlainCaller:
    """Calls of the gateway on a loopback port."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._stub = UserFeatureServiceStub(self._channel)

    async def ask(self, user_id: str, *, timeout_s: float) -> GetUserFeaturesResponse:
        """Return the reply's message."""
        request = GetUserFeaturesRequest(user_id=user_id, feature_service=FEATURE_SERVICE)
        try:
            return await self._stub.GetUserFeatures(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise CallFailedError(error.code().name) from error

    def read(self, reply: GetUserFeaturesResponse) -> Told:
        """Return what the message says."""
        user = reply.user_features
        values = {}
        for feature in user.features:
            field = feature.WhichOneof("value")
            values[feature.name] = None if field is None else getattr(feature, field)
        not_found = {feature.name for feature in user.features if feature.status == FEATURE_STATUS_NOT_FOUND}
        return Told(user.user_id, user.user_known, values, frozenset(not_found))

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class BalancedCaller:
    """Calls of the gateways on loopback ports, spread over those that are ready by their health."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._client = AsyncFeatureClient("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports))

    async def ask(self, user_id: str, *, timeout_s: float) -> UserFeatures:
        """Return the client's answer."""
        try:
            return await self._client.get_user_features(user_id, feature_service=FEATURE_SERVICE, timeout_s=timeout_s)
        except FeatureServingError as error:
            raise CallFailedError(error.code.name) from error

    def read(self, reply: UserFeatures) -> Told:
        """Return what the answer says."""
        not_found = {name for name, status in reply.statuses.items() if status is FeatureStatus.NOT_FOUND}
        return Told(reply.user_id, reply.user_known, dict(reply), frozenset(not_found))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
