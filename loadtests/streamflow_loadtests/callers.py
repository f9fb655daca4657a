"""How each kind of server is asked for one user's features, and how its reply is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import grpc
import orjson
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest, GetUserFeaturesResponse
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub
from streamflow_repo import JOIN_KEY

from streamflow_loadtests.data import FEATURE_SERVICE, Value, Values

CALL_TIMEOUT_S = 30.0
"""The deadline of every call; only a server that hangs meets it."""

# Each of many kept connections may turn out to be closed when a server has replaced its worker.
_MAX_SENDS = 10
_HTTP_OK = 200


class CallError(Exception):
    """A call got no reply, or one that can't be read."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        """Take why, and the name of the gRPC status code when that is what the call got."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a reply says."""

    user_id: str
    values: Values


class Caller(Protocol):
    """One arm's connections. `ask` is on the clock, `read` is not."""

    resends: int
    """How often a request was sent anew because the server had closed the connection."""

    async def ask(self, user_id: str) -> Any:
        """Return the decoded reply to a request for one user. Raises CallError."""

    def read(self, reply: Any) -> Reply:
        """Return what a reply says. Raises CallError when it is no reply to a request for one user."""

    async def close(self) -> None:
        """Close the connections."""


class HttpCaller:
    """Calls of `feast serve` on a loopback port; `selection` is the request's JSON without the user."""

    def __init__(self, port: int, selection: Mapping[str, object]) -> None:
        self.resends = 0
        self._url = f"http://127.0.0.1:{port}/get-online-features"
        self._selection = selection
        self._session = aiohttp.ClientSession(
            # No limit: as many connections as there are callers.
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S),
            headers={"Content-Type": "application/json"},
        )

    async def ask(self, user_id: str) -> Any:
        """Return the reply's JSON. A request whose connection the server closed is sent anew, as any client would."""
        body = orjson.dumps({**self._selection, "entities": {JOIN_KEY: [user_id]}})
        for _ in range(_MAX_SENDS):
            try:
                async with self._session.post(self._url, data=body) as response:
                    content = await response.read()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                self.resends += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                raise CallError(f"{type(error).__name__} {error}".rstrip()) from error
            else:
                if response.status != _HTTP_OK:
                    raise CallError(f"HTTP {response.status}: {content[:200].decode(errors='replace')}")
                return orjson.loads(content)
        raise CallError(f"the connection was closed {_MAX_SENDS} times")

    def read(self, reply: Any) -> Reply:
        """Return what Feast's columns of JSON say."""
        return _feast_reply(reply["metadata"]["feature_names"], [result["values"] for result in reply["results"]])

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


class _GrpcCaller:
    def __init__(self, port: int) -> None:
        self.resends = 0
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


class FeastGrpcCaller(_GrpcCaller):
    """Calls of `feast listen` on a loopback port."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        # Importing Feast takes seconds, which the arms that don't need it should not.
        from feast.protos.feast.serving import GrpcServer_pb2_grpc, ServingService_pb2  # noqa: PLC0415

        self._request = ServingService_pb2.GetOnlineFeaturesRequest
        self._stub: Any = GrpcServer_pb2_grpc.GrpcFeatureServerStub(self._channel)  # type: ignore[no-untyped-call]

    async def ask(self, user_id: str) -> Any:
        """Return the reply's message."""
        request = self._request(feature_service=FEATURE_SERVICE)
        request.entities[JOIN_KEY].val.add().string_val = user_id
        try:
            return await self._stub.GetOnlineFeatures(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise CallError(f"{error.code().name}: {error.details()}") from error

    def read(self, reply: Any) -> Reply:
        """Return what Feast's message says."""
        return _feast_reply(
            reply.metadata.feature_names.val,
            [[_of_feast(value) for value in result.values] for result in reply.results],
        )


class GatewayCaller(_GrpcCaller):
    """Calls of the gateway on a loopback port, or of a server that stands in for it."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._stub = UserFeatureServiceStub(self._channel)

    async def ask(self, user_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> GetUserFeaturesResponse:
        """Return the reply's message."""
        request = GetUserFeaturesRequest(user_id=user_id, feature_service=FEATURE_SERVICE)
        try:
            return await self._stub.GetUserFeatures(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise CallError(f"{error.code().name}: {error.details()}", code=error.code().name) from error

    def read(self, reply: GetUserFeaturesResponse) -> Reply:
        """Return what the gateway's message says."""
        user = reply.user_features
        values: dict[str, Value] = {}
        for feature in user.features:
            field = feature.WhichOneof("value")
            values[feature.name] = None if field is None else getattr(feature, field)
        return Reply(user_id=user.user_id, values=values)


def _of_feast(value: Any) -> Value:
    field = value.WhichOneof("val")
    decoded: Value = None if field in {None, "null_val"} else getattr(value, field)
    return decoded


def _feast_reply(names: Sequence[str], columns: Sequence[Sequence[Value]]) -> Reply:
    """Return what a Feast server says: columns of one row, the join key among them."""
    if any(len(column) != 1 for column in columns):
        raise CallError("the reply has another number of users than one")
    values = {name: column[0] for name, column in zip(names, columns, strict=True)}
    return Reply(user_id=str(values.pop(JOIN_KEY, None)), values=values)
