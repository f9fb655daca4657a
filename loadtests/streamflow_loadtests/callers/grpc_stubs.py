"""Calls by grpc.aio and generated stubs, of the gateway and of Feast's gRPC servers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.callers.calls import CALL_TIMEOUT_S, Reply
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.feast_api import feast_request, feast_rows
from streamflow_loadtests.callers.gateway_api import GatewayGrpc, batch_replies, reply_of

if TYPE_CHECKING:
    from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceAsyncStub

# Channels of one process to one address would share a connection.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class _Stub:
    """A channel of its own connection to a loopback port."""

    resends = 0

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OWN_CONNECTION)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class GatewayStub(_Stub):
    """`GetUserFeatures` for one user, `BatchGetUserFeatures` for more."""

    def __init__(self, port: int, *, feature_service: str | None = None, references: Sequence[str] = ()) -> None:
        """Creates calls for a feature service, or for feature references."""
        super().__init__(port)
        self._stub: UserFeatureServiceAsyncStub = UserFeatureServiceStub(self._channel)
        self._message = GatewayGrpc(feature_service=feature_service, references=references).message

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return the users' values. Raises CallError, also for a user of a batch that got an error."""
        request = self._message(user_ids)
        with _named_errors():
            if isinstance(request, GetUserFeaturesRequest):
                return [reply_of((await self._stub.GetUserFeatures(request, timeout=timeout_s)).user_features)]
            return batch_replies(await self._stub.BatchGetUserFeatures(request, timeout=timeout_s))

    async def reply_bytes(self, user_id: str) -> int:
        """Return the size of the reply for one user."""
        request: Any = self._message([user_id])
        return (await self._stub.GetUserFeatures(request, timeout=CALL_TIMEOUT_S)).ByteSize()


class FeastStub(_Stub):
    """`GetOnlineFeatures` of `feast listen`, or of `feast.serving.ServingService`, as Feast's Go server has it."""

    def __init__(self, port: int, *, feature_service: str, join_key: str, serving_service: bool = False) -> None:
        # Importing Feast takes seconds, which the arms that don't need it should not.
        from feast.protos.feast.serving import GrpcServer_pb2_grpc, ServingService_pb2_grpc  # noqa: PLC0415

        super().__init__(port)
        kind: Any = (
            ServingService_pb2_grpc.ServingServiceStub if serving_service else GrpcServer_pb2_grpc.GrpcFeatureServerStub
        )
        self._get = kind(self._channel).GetOnlineFeatures
        self._feature_service = feature_service
        self._join_key = join_key

    async def ask(self, user_ids: Sequence[str], *, timeout_s: float = CALL_TIMEOUT_S) -> Sequence[Reply]:
        """Return the users' values. Raises CallError."""
        request = feast_request(user_ids, feature_service=self._feature_service, join_key=self._join_key)
        with _named_errors():
            reply = await self._get(request, timeout=timeout_s)
        return feast_rows(reply, user_ids, join_key=self._join_key)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise CallError(error.code().name, error.details() or "") from error
