"""The sync client."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
from streamflow.features.v1 import user_feature_service_pb2
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_features._errors import from_rpc_error
from streamflow_features._features import UserFeatures

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 1.0


class FeatureClient:
    """Asks a gateway for users' features over one gRPC channel; safe to share between threads."""

    def __init__(self, target: str = DEFAULT_TARGET, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Take the gateway's address, `host:port`, and each call's deadline. Connects on the first call."""
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(target)
        self._stub = UserFeatureServiceStub(self._channel)

    def get_user_features(
        self,
        user_id: str,
        *,
        feature_service: str | None = None,
        features: Sequence[str] | None = None,
        timeout_s: float | None = None,
    ) -> UserFeatures:
        """Return one user's features: of a feature service, of references such as "subs_profile_fv:monthly_fee", or,
        with neither, of the gateway's default feature service.

        `timeout_s` is the call's deadline in place of the client's. A user whom nobody knows is no error: every status
        is then NOT_FOUND. Raises FeatureServingError, by its subclass; ValueError for both a service and references.
        """  # noqa: D205  # the effect needs its three cases
        if feature_service is not None and features is not None:
            raise ValueError("give either feature_service or features, not both")
        request = user_feature_service_pb2.GetUserFeaturesRequest(user_id=user_id)
        if feature_service is not None:
            request.feature_service = feature_service
        if features is not None:
            request.feature_references.SetInParent()
            request.feature_references.references.extend(features)
        try:
            response = self._stub.GetUserFeatures(request, timeout=self._timeout_s if timeout_s is None else timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return UserFeatures(response)

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
