"""The sync client."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetFeatureServiceRequest, ListFeatureServicesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_features._authorization import Authorization, call_metadata
from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._channel import channel_options
from streamflow_features._errors import from_rpc_error
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._queries import QueryOptions, batch_request, user_request
from streamflow_features._services import FeatureService, feature_service, feature_services

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 1.0

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class FeatureClient:
    """Asks gateways for users' features over one gRPC channel; safe to share between threads.

    Every method raises FeatureServingError, by its subclass, and takes a `timeout_s`, the call's deadline in place of
    the client's.
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
        """Take where the gateways are, and each call's deadline. Connects on the first call.

        `target` is `host:port`, `dns:///name:port` or several addresses, `ipv4:10.0.0.1:50051,10.0.0.2:50051`; calls
        are spread over all addresses. A gateway whose health says that it is not ready is left out; without
        `follow_health` it is asked all the same, to hear from itself what is wrong.

        With `credentials`, such as `grpc.ssl_channel_credentials()`, connections are over TLS, without they are not.
        `authorization` goes with every call and is handed on to Feast: "Bearer …", or a function without arguments that
        returns it, called before each call, so that it can be renewed. Raises ValueError for one that is no header's.
        """
        self._timeout_s = timeout_s
        self._metadata = call_metadata(authorization)
        options = channel_options(follow_health=follow_health)
        self._channel = (
            grpc.insecure_channel(target, options=options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=options)
        )
        self._stub = UserFeatureServiceStub(self._channel)

    def get_user_features(
        self, user_id: str, *, timeout_s: float | None = None, **options: Unpack[QueryOptions]
    ) -> UserFeatures:
        """Return one user's features: of a feature service, of references such as "subs_profile_fv:monthly_fee", or,
        with neither, of the gateway's default feature service.

        `options` are those of QueryOptions. A user whom nobody knows is no error: every status is then NOT_FOUND.
        Raises ValueError for both a service and references.
        """  # noqa: D205  # the effect needs its three cases
        return user_features(self._call(self._stub.GetUserFeatures, user_request(user_id, **options), timeout_s))

    def batch_get_user_features(
        self, user_ids: Iterable[str], *, timeout_s: float | None = None, **options: Unpack[QueryOptions]
    ) -> UserFeaturesBatch:
        """Return the same features of several users: one result for each id, in their order.

        What is wrong with one user's id or features is that user's result, not raised. `options` are those of
        QueryOptions. A gateway takes 1,000 users by default.
        """
        request = batch_request(user_ids, **options)
        return UserFeaturesBatch(self._call(self._stub.BatchGetUserFeatures, request, timeout_s))

    def get_feature_service(self, name: str, *, timeout_s: float | None = None) -> FeatureService:
        """Return what the gateway's contract says of a feature service; raise NotFound for an unknown one."""
        request = GetFeatureServiceRequest(name=name)
        return feature_service(self._call(self._stub.GetFeatureService, request, timeout_s))

    def list_feature_services(self, *, timeout_s: float | None = None) -> list[FeatureService]:
        """Return what the gateway's contract says of all feature services, by name."""
        return feature_services(self._call(self._stub.ListFeatureServices, ListFeatureServicesRequest(), timeout_s))

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[_Request, _Response]", request: _Request, timeout_s: float | None
    ) -> _Response:
        try:
            return method(
                request, timeout=self._timeout_s if timeout_s is None else timeout_s, metadata=self._metadata()
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def close(self) -> None:
        """Close the channel; calls in flight end with UNAVAILABLE or CANCELLED."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Return the client, which the block's end closes."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel."""
        self.close()
