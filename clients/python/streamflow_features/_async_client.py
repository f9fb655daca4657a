"""The asyncio client."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetFeatureServiceRequest, ListFeatureServicesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_features._authorization import Authorization, call_metadata
from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._channel import channel_options
from streamflow_features._client import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from streamflow_features._errors import from_rpc_error
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._queries import QueryOptions, Question, batch_request, user_request
from streamflow_features._request_data import RequestDataValue
from streamflow_features._services import FeatureService, feature_service, feature_services
from streamflow_features._stream import Answer, answers_of

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceAsyncStub

DEFAULT_MAX_IN_FLIGHT = 1000

_Response = TypeVar("_Response")


class AsyncFeatureClient:
    """Reads users' features from gateways over one gRPC channel, for asyncio: FeatureClient's calls, and streams.

    Use the client only in the event loop that created it.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        follow_health: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        authorization: Authorization | None = None,
    ) -> None:
        """Creates a client for `target`. The parameters are the same as FeatureClient's."""
        self._timeout_s = timeout_s
        self._metadata = call_metadata(authorization)
        options = channel_options(follow_health=follow_health)
        self._channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self._stub: UserFeatureServiceAsyncStub = UserFeatureServiceStub(self._channel)

    async def get_user_features(
        self, user_id: str, *, timeout_s: float | None = None, **options: Unpack[QueryOptions]
    ) -> UserFeatures:
        """Return one user's features, as `FeatureClient.get_user_features` does."""
        request = user_request(user_id, **options)
        call = self._stub.GetUserFeatures(request, timeout=self._within_s(timeout_s), metadata=self._metadata())
        return user_features(await _answered(call))

    async def batch_get_user_features(
        self,
        user_ids: Iterable[str],
        *,
        request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
        timeout_s: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> UserFeaturesBatch:
        """Return several users' features, as `FeatureClient.batch_get_user_features` does."""
        request = batch_request(user_ids, request_data_by_user=request_data_by_user, **options)
        call = self._stub.BatchGetUserFeatures(request, timeout=self._within_s(timeout_s), metadata=self._metadata())
        return UserFeaturesBatch(await _answered(call))

    def stream_user_features(
        self,
        questions: AsyncIterable[Question],
        *,
        timeout_s: float | None = None,
        max_in_flight: int = DEFAULT_MAX_IN_FLIGHT,
    ) -> AsyncGenerator[Answer, None]:
        """Yield one answer for each question, features or an error, in the order in which the answers arrive.

        `timeout_s` is the deadline of each question, counted from when the client takes the question from `questions`.
        Not given, the client's timeout applies. The client takes at most `max_in_flight` questions whose answers the
        caller has not taken. When a gateway shuts down, the client asks its unanswered questions once more on another
        gateway. Raises only what `questions` raises.
        """
        return answers_of(
            questions,
            lambda: self._stub.StreamUserFeatures(metadata=self._metadata()),
            timeout_s=self._within_s(timeout_s),
            max_in_flight=max_in_flight,
        )

    async def get_feature_service(self, name: str, *, timeout_s: float | None = None) -> FeatureService:
        """Return the contract's description of a feature service. Raises NotFound for an unknown name."""
        request = GetFeatureServiceRequest(name=name)
        call = self._stub.GetFeatureService(request, timeout=self._within_s(timeout_s), metadata=self._metadata())
        return feature_service(await _answered(call))

    async def list_feature_services(self, *, timeout_s: float | None = None) -> list[FeatureService]:
        """Return the contract's descriptions of all feature services, in the order of their names."""
        request = ListFeatureServicesRequest()
        call = self._stub.ListFeatureServices(request, timeout=self._within_s(timeout_s), metadata=self._metadata())
        return feature_services(await _answered(call))

    async def close(self) -> None:
        """Close the channel. Calls in flight fail."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        """Return the client. The end of the block closes the client."""
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel."""
        await self.close()

    def _within_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s


async def _answered(call: Awaitable[_Response]) -> _Response:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
