"""The sync client."""

from collections.abc import Iterable, Mapping
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
from streamflow_features._request_data import RequestDataValue
from streamflow_features._services import FeatureService, feature_service, feature_services

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 1.0

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class FeatureClient:
    """Reads users' features from gateways over one gRPC channel. Threads can share a client.

    Every method takes `timeout_s`, the call's deadline in seconds. Not given, the client's timeout applies. A failed
    call raises FeatureServingError or the code's subclass.
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
        """Creates a client for `target`. The client connects on the first call.

        `target` is `host:port`, `dns:///name:port` or several addresses, `ipv4:10.0.0.1:50051,10.0.0.2:50051`. The
        client spreads calls over all addresses. `timeout_s` is the deadline of each call in seconds. With
        `follow_health` the client skips gateways whose gRPC health is not SERVING. Without, the client calls them too,
        and their errors say what is wrong.

        With `credentials`, such as `grpc.ssl_channel_credentials()`, connections use TLS. Without, connections are not
        encrypted. The gateway passes `authorization` on to Feast. `authorization` is "Bearer …", or a function without
        arguments that returns the value; the client calls the function before each call, so a token can be renewed.
        Raises ValueError for an `authorization` that can't be a header.
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
        """Return one user's features.

        `options` are the keywords of QueryOptions. They select a feature service, or references such as
        "subs_profile_fv:monthly_fee"; with neither, the gateway's default feature service. An unknown user is not an
        error: every status is then NOT_FOUND. Features that are computed from request data need `request_data`.

        Raises ValueError when a service and references are given, and TypeError for what can't be request data.
        """
        return user_features(self._call(self._stub.GetUserFeatures, user_request(user_id, **options), timeout_s))

    def batch_get_user_features(
        self,
        user_ids: Iterable[str],
        *,
        request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
        timeout_s: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> UserFeaturesBatch:
        """Return the same features of several users: one result for each user id, in the order of the ids.

        An error of one user is that user's result and is not raised. `options` are the keywords of QueryOptions. A
        gateway accepts 1,000 users by default.

        `request_data` are those of all users. `request_data_by_user` has those of each user, in the order of the ids:
        as many as there are ids, or none. Names can't be in both. A user id can be repeated with other request data.
        """
        request = batch_request(user_ids, request_data_by_user=request_data_by_user, **options)
        return UserFeaturesBatch(self._call(self._stub.BatchGetUserFeatures, request, timeout_s))

    def get_feature_service(self, name: str, *, timeout_s: float | None = None) -> FeatureService:
        """Return the contract's description of a feature service. Raises NotFound for an unknown name."""
        request = GetFeatureServiceRequest(name=name)
        return feature_service(self._call(self._stub.GetFeatureService, request, timeout_s))

    def list_feature_services(self, *, timeout_s: float | None = None) -> list[FeatureService]:
        """Return the contract's descriptions of all feature services, in the order of their names."""
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
        """Close the channel. Calls in flight fail with UNAVAILABLE or CANCELLED."""
        self._channel.close()

    def __enter__(self) -> Self:
        """Return the client. The end of the block closes the client."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel."""
        self.close()
