"""The asyncio client."""

import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

import grpc
from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from streamflow.features.v1.user_feature_service_pb2 import (
    GetFeatureServiceRequest,
    ListFeatureServicesRequest,
    ListFeatureServicesResponse,
)
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_features._batch import UserFeaturesBatch
from streamflow_features._batch_reply import parse_batch_reply, serialized
from streamflow_features._channel import BATCH_METHOD
from streamflow_features._connection import ConnectionOptions, connection_of
from streamflow_features._contract import checked_hash
from streamflow_features._errors import from_rpc_error
from streamflow_features._features import UserFeatures, user_features
from streamflow_features._forks import in_this_process
from streamflow_features._learned import Learned
from streamflow_features._many import ManyOptions, ManyUsers
from streamflow_features._merging import LaneKey
from streamflow_features._online_request import EntityRows, Named, online_request
from streamflow_features._online_response import OnlineResponse, online_response
from streamflow_features._queries import QueryOptions, Question, ReadOptions, batch_request, with_pinned
from streamflow_features._request_data import RequestDataValue
from streamflow_features._results import batch_of
from streamflow_features._selections import ask
from streamflow_features._services import FeatureService, feature_service, feature_services
from streamflow_features._stream import DEFAULT_MAX_IN_FLIGHT, Answer, answers_of
from streamflow_features._task_many import answers_of as answers_of_many
from streamflow_features._task_many import described
from streamflow_features._task_merging import TaskMerger
from streamflow_features._tracing import traced
from streamflow_features._typed import Asked, Given, Typed, contract_explained, typed_question

if TYPE_CHECKING:
    from streamflow.features.feast.serving.ServingService_pb2_grpc import ServingServiceAsyncStub
    from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceAsyncStub

_Response = TypeVar("_Response")


class AsyncFeatureClient:
    """Reads users' features from gateways over one gRPC channel, for asyncio: FeatureClient's calls, and streams.

    Use the client only in the event loop that created it.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        timeout_s: float | None = None,
        merge_calls: bool = True,
        channel: grpc.aio.Channel | None = None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        """Creates a client for `target`. The parameters are the same as FeatureClient's."""
        made = connection_of(target, timeout_s, own_channel=channel is not None, **connection)
        if channel is not None and interceptors:
            raise ValueError("asyncio's channels take interceptors when they are made; give them to the channel")
        self._timeout_s = made.timeout_s
        self._metadata = in_this_process(made.metadata)
        self._pinned: QueryOptions = {}
        self._own_channel = None
        if channel is None:
            options = made.channel_options
            channel = self._own_channel = (
                grpc.aio.insecure_channel(made.target, options=options, interceptors=interceptors)
                if made.credentials is None
                else grpc.aio.secure_channel(made.target, made.credentials, options=options, interceptors=interceptors)
            )
        calling = traced(channel)
        self._stub: UserFeatureServiceAsyncStub = UserFeatureServiceStub(calling)
        self._feast: ServingServiceAsyncStub = ServingServiceStub(calling)
        self._batch_get = calling.unary_unary(
            BATCH_METHOD,
            request_serializer=serialized,
            response_deserializer=parse_batch_reply,
        )
        self._learned = Learned()
        self._merger = TaskMerger(self._stub.GetUserFeatures, self._batch_get) if merge_calls else None

    def bind(self, **options: Unpack[QueryOptions]) -> Self:
        """Return a client whose calls have these options unless they give their own, as `FeatureClient.bind` does."""
        pinned = with_pinned(self._pinned, options)
        # Raises what a call would raise.
        ask("", **pinned)
        bound = copy(self)
        bound._pinned = pinned  # noqa: SLF001  # a client of this class
        return bound

    async def check(self, *, timeout_s: float | None = None) -> str:
        """Return the hash of the contract that a gateway answers by, as `FeatureClient.check` does."""
        name = self._pinned.get("feature_service")
        if name is None:
            return checked_hash((await self._list_services(timeout_s)).contract_hash, self._pinned)
        reply = await self._call(self._stub.GetFeatureService, GetFeatureServiceRequest(name=name), timeout_s)
        return checked_hash(reply.contract_hash, self._pinned)

    async def get_user_features(
        self, user_id: str, *, timeout_s: float | None = None, **options: Unpack[QueryOptions]
    ) -> UserFeatures:
        """Return one user's features, as `FeatureClient.get_user_features` does."""
        selection, request = ask(user_id, **with_pinned(self._pinned, options))
        if self._merger is None:
            return user_features(await self._call(self._stub.GetUserFeatures, request, timeout_s))
        key = LaneKey(selection, self._metadata())
        return await self._merger.answer(key, request, timeout_s=self._within_s(timeout_s))

    async def get(
        self,
        features: Asked[Typed] | Given[Typed],
        user_id: str,
        *,
        timeout_s: float | None = None,
        **options: Unpack[ReadOptions],
    ) -> Typed:
        """Return one user's features as a generated class, as `FeatureClient.get` does."""
        kind, query = typed_question(features, options)
        with contract_explained(kind):
            return kind.of(await self.get_user_features(user_id, timeout_s=timeout_s, **query))

    async def batch_get_user_features(
        self,
        user_ids: Iterable[str],
        *,
        request_data_by_user: Iterable[Mapping[str, RequestDataValue]] = (),
        timeout_s: float | None = None,
        **options: Unpack[QueryOptions],
    ) -> UserFeaturesBatch:
        """Return several users' features, as `FeatureClient.batch_get_user_features` does."""
        request = batch_request(
            user_ids, request_data_by_user=request_data_by_user, **with_pinned(self._pinned, options)
        )
        batch = batch_of(await self._call(self._batch_get, request, timeout_s), request.user_ids)
        return self._learned.completed(batch, request)

    async def get_users_features(
        self, user_ids: Iterable[str], *, timeout_s: float | None = None, **options: Unpack[ManyOptions]
    ) -> UserFeaturesBatch:
        """Return any number of users' features, as `FeatureClient.get_users_features` does.

        Cancelling the call cancels its requests. A reply is read in one piece: one of 1,000 users keeps the event loop
        for some milliseconds.
        """
        work = ManyUsers(user_ids, self._learned, self._pinned, **options)
        within_s = self._within_s(timeout_s)
        batch = await answers_of_many(work, lambda request: self._call(self._batch_get, request, timeout_s))
        return await described(
            batch, work.selection, self._learned, self._list_services, ends=time.monotonic() + within_s
        )

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
        caller has not taken. When a gateway shuts down, the client asks its unanswered questions again on another
        gateway. Raises only what `questions` raises.
        """
        return answers_of(
            questions,
            lambda: self._stub.StreamUserFeatures(metadata=self._metadata()),
            pinned=self._pinned,
            timeout_s=self._within_s(timeout_s),
            max_in_flight=max_in_flight,
        )

    async def get_online_features(
        self,
        features: Sequence[str] | Named,
        entity_rows: EntityRows,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002  # Feast's signature
        *,
        timeout_s: float | None = None,
    ) -> OnlineResponse:
        """Return features of rows of any entity, as `FeatureClient.get_online_features` does."""
        request = online_request(features, entity_rows, full_feature_names=full_feature_names)
        return online_response(await self._call(self._feast.GetOnlineFeatures, request, timeout_s))

    async def get_feature_service(self, name: str, *, timeout_s: float | None = None) -> FeatureService:
        """Return the contract's description of a feature service. Raises NotFound for an unknown name."""
        reply = await self._call(self._stub.GetFeatureService, GetFeatureServiceRequest(name=name), timeout_s)
        return feature_service(reply)

    async def list_feature_services(self, *, timeout_s: float | None = None) -> list[FeatureService]:
        """Return the contract's descriptions of all feature services, in the order of their names."""
        return feature_services(await self._list_services(timeout_s))

    async def _list_services(self, timeout_s: float | None) -> ListFeatureServicesResponse:
        return await self._call(self._stub.ListFeatureServices, ListFeatureServicesRequest(), timeout_s)

    async def _call(
        self, method: Callable[..., Awaitable[_Response]], request: object, timeout_s: float | None
    ) -> _Response:
        try:
            return await method(request, timeout=self._within_s(timeout_s), metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def close(self) -> None:
        """Close the channel, unless the caller made it. Calls in flight fail."""
        if self._merger is not None:
            self._merger.close()
        if self._own_channel is not None:
            await self._own_channel.close()

    async def __aenter__(self) -> Self:
        """Return the client. The end of the block closes the client."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close the channel."""
        await self.close()

    def _within_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s
