"""How each kind of server is asked for users' features, and how its replies are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError
from streamflow.features.v1.feature_pb2 import UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import (
    DESCRIPTOR,
    BatchGetUserFeaturesRequest,
    BatchGetUserFeaturesResponse,
    GetUserFeaturesRequest,
    GetUserFeaturesResponse,
)
from streamflow_repo import JOIN_KEY

from streamflow_loadtests.bed.data import FEATURE_SERVICE, Value, Values
from streamflow_loadtests.callers.channels import CallError, Channel

_GATEWAY_SERVICE = DESCRIPTOR.services_by_name["UserFeatureService"].full_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request as it is sent."""

    user_ids: Sequence[str]

    body: bytes
    """A message of gRPC, or all of an HTTP request."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a reply says of one user."""

    user_id: str
    values: Values


class Caller(Protocol):
    """One arm's connections. Only `send` is on the clock: bytes out, bytes in."""

    resends: int
    """How often a request was sent anew because the server had closed the connection."""

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for some users, one or more."""

    async def send(self, request: Request) -> bytes:
        """Return the reply's bytes, all of them. Raises CallError."""

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what a reply's bytes say, one user after another. Raises CallError for what is no reply."""

    async def close(self) -> None:
        """Close the connections."""


class _GrpcCaller:
    def __init__(self, channel: Channel) -> None:
        self.resends = 0
        self._channel = channel

    async def close(self) -> None:
        """Close the connections."""
        await self._channel.close()


class FeastGrpcCaller(_GrpcCaller):
    """Calls of `feast listen`."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        # Importing Feast takes seconds, which the arms that don't need it should not.
        from feast.protos.feast.serving import GrpcServer_pb2, ServingService_pb2  # noqa: PLC0415

        self._messages = ServingService_pb2
        self._path = f"/{GrpcServer_pb2.DESCRIPTOR.services_by_name['GrpcFeatureServer'].full_name}/GetOnlineFeatures"

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for some users."""
        message = self._messages.GetOnlineFeaturesRequest(feature_service=FEATURE_SERVICE)
        for user_id in user_ids:
            message.entities[JOIN_KEY].val.add().string_val = user_id
        return Request(user_ids=tuple(user_ids), body=message.SerializeToString())

    async def send(self, request: Request) -> bytes:
        """Return the reply's bytes."""
        return await self._channel.call(self._path, request.body)

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what Feast's message says."""
        message = _parsed(self._messages.GetOnlineFeaturesResponse, reply)
        columns = [[_of_feast(value) for value in result.values] for result in message.results]
        return feast_replies(request, message.metadata.feature_names.val, columns)


class GatewayCaller(_GrpcCaller):
    """Calls of the gateway, or of a server that stands in for it."""

    def request(self, user_ids: Sequence[str]) -> Request:
        """Return the request for some users: GetUserFeatures for one, BatchGetUserFeatures for more."""
        message: GetUserFeaturesRequest | BatchGetUserFeaturesRequest
        if len(user_ids) == 1:
            message = GetUserFeaturesRequest(user_id=user_ids[0], feature_service=FEATURE_SERVICE)
        else:
            message = BatchGetUserFeaturesRequest(user_ids=user_ids, feature_service=FEATURE_SERVICE)
        return Request(user_ids=tuple(user_ids), body=message.SerializeToString())

    async def send(self, request: Request) -> bytes:
        """Return the reply's bytes."""
        method = "GetUserFeatures" if len(request.user_ids) == 1 else "BatchGetUserFeatures"
        return await self._channel.call(f"/{_GATEWAY_SERVICE}/{method}", request.body)

    def replies(self, request: Request, reply: bytes) -> Sequence[Reply]:
        """Return what the gateway's message says."""
        if len(request.user_ids) == 1:
            return [_reply_of(_parsed(GetUserFeaturesResponse, reply).user_features)]
        results = _parsed(BatchGetUserFeaturesResponse, reply).results
        for result in results:
            if result.HasField("error"):
                raise CallError(f"{result.user_id} got code {result.error.code}: {result.error.message}")
        return [_reply_of(result.user_features) for result in results]


def feast_replies(request: Request, names: Sequence[str], columns: Sequence[Sequence[Value]]) -> Sequence[Reply]:
    """Return what a Feast server says: columns of one row a user, the join key among them. Raises CallError."""
    count = len(request.user_ids)
    if len(names) != len(columns) or any(len(column) != count for column in columns):
        raise CallError(f"the reply has other columns than its names, or other rows than the {count} asked for")
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return [Reply(user_id=str(values.pop(JOIN_KEY, None)), values=values) for values in rows]


def _parsed(message: Any, reply: bytes) -> Any:
    try:
        return message.FromString(reply)
    except DecodeError as error:
        raise CallError(f"the reply is no {message.DESCRIPTOR.name}") from error


def _reply_of(user: UserFeatures) -> Reply:
    values: dict[str, Value] = {}
    for feature in user.features:
        field = feature.WhichOneof("value")
        values[feature.name] = None if field is None else getattr(feature, field)
    return Reply(user_id=user.user_id, values=values)


def _of_feast(value: Any) -> Value:
    field = value.WhichOneof("val")
    decoded: Value = None if field in {None, "null_val"} else getattr(value, field)
    return decoded
