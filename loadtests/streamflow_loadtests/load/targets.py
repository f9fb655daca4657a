"""Who is asked, each in its own protocol: the gateway over gRPC, the gateway over HTTP, and `feast serve`."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

import grpc
import orjson
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from streamflow.features.v1.feature_pb2 import UserFeatures
from streamflow.features.v1.user_feature_service_pb2 import BatchGetUserFeaturesRequest, GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.scenarios import Kind

# Of an open loop's user, which has no bound on the calls that it has under way.
_MAX_CONNECTIONS = 4096
_HTTP_OK = 200
_NEVER_WRITTEN = "1970-01-01T00:00:00Z"


class CallError(Exception):
    """A call got no reply, or a wrong one; calls that failed in the same way have the same text."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """What is asked of each user."""

    service: str
    join_key: str

    references: tuple[str, ...]
    """The feature service's features, "feature_view:feature"."""


class Target(Protocol):
    """One user's connections. `ask` is on the clock, `check` is not."""

    name: ClassVar[str]
    """As --targets takes it."""

    label: ClassVar[str]
    """As reports have it."""

    protocol: ClassVar[str]

    batches: ClassVar[bool]
    """Whether there is a call for several users."""

    def ask(self, question: Question, *, timeout_s: float) -> tuple[Any, int]:
        """Return the decoded reply, and its size in bytes. Raises CallError."""

    def check(self, reply: Any, question: Question) -> None:
        """Raise CallError for a reply that is not about the users asked for, or has not all of their features."""

    def close(self) -> None:
        """Close the connections."""


class GatewayGrpc:
    """The gateway's UserFeatureService."""

    name: ClassVar[str] = "gateway-grpc"
    label: ClassVar[str] = "gateway gRPC"
    protocol: ClassVar[str] = "gRPC"
    batches: ClassVar[bool] = True

    def __init__(self, address: str, features: Features) -> None:
        """Connect when first asked."""
        # A connection of its own, as each of the HTTP users has: channels of one process share theirs otherwise.
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = UserFeatureServiceStub(self._channel)
        self._features = features

    def ask(self, question: Question, *, timeout_s: float) -> tuple[Any, int]:
        """Return the reply's message, and its size in bytes. Raises CallError, by the gRPC code's name."""
        service = self._features.service
        try:
            if question.kind is Kind.BATCH:
                batch = BatchGetUserFeaturesRequest(user_ids=question.user_ids, feature_service=service)
                answers = self._stub.BatchGetUserFeatures(batch, timeout=timeout_s)
                return answers, answers.ByteSize()
            request = GetUserFeaturesRequest(user_id=question.user_ids[0], feature_service=service)
            answer = self._stub.GetUserFeatures(request, timeout=timeout_s)
            return answer, answer.ByteSize()
        except grpc.RpcError as error:
            raise CallError(error.code().name) from error

    def check(self, reply: Any, question: Question) -> None:
        """Raise CallError for a reply that is wrong."""
        if question.kind is not Kind.BATCH:
            self._check_user(reply.user_features, question.user_ids[0], known=question.known)
            return
        if len(reply.results) != len(question.user_ids):
            raise CallError("another number of users than was asked for")
        for result, user_id in zip(reply.results, question.user_ids, strict=True):
            if result.HasField("error"):
                code = next((code for code in grpc.StatusCode if code.value[0] == result.error.code), None)
                raise CallError(f"a user of the batch: {result.error.code if code is None else code.name}")
            self._check_user(result.user_features, user_id, known=True)

    def _check_user(self, user: UserFeatures, user_id: str, *, known: bool) -> None:
        _check(user.user_id, user_id, known=user.user_known, to_be_known=known)
        _check_count(len(user.features), self._features)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class _Http:
    protocol: ClassVar[str] = "HTTP"

    def __init__(self, url: str, features: Features, *, timeout_s: float) -> None:
        self._client = HTTPClient.from_url(
            url, concurrency=_MAX_CONNECTIONS, connection_timeout=timeout_s, network_timeout=timeout_s
        )
        self._features = features

    def _send(self, method: str, path: str, body: bytes = b"") -> tuple[Any, int]:
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            response = self._client.request(method, path, body=body, headers=headers)
            content = response.read()
            status = response.status_code
        except TimeoutError as error:
            raise CallError("no reply in time") from error
        except (OSError, HTTPConnectionClosed, HTTPParseError) as error:
            raise CallError(type(error).__name__) from error
        try:
            reply = orjson.loads(content)
        except orjson.JSONDecodeError:
            reply = None
        if status != _HTTP_OK:
            code = reply.get("code") if isinstance(reply, dict) else None
            raise CallError(f"HTTP {status}" if code is None else f"HTTP {status} {code}")
        return reply, len(content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class GatewayHttp(_Http):
    """The gateway's `GET /features/{user_id}`."""

    name: ClassVar[str] = "gateway-http"
    label: ClassVar[str] = "gateway HTTP"
    batches: ClassVar[bool] = False

    def ask(self, question: Question, *, timeout_s: float) -> tuple[Any, int]:
        """Return the reply's JSON, and its size in bytes. Raises CallError."""
        query = f"feature_service={quote(self._features.service)}&timeout_s={timeout_s:g}"
        return self._send("GET", f"/features/{quote(question.user_ids[0], safe='')}?{query}")

    def check(self, reply: Any, question: Question) -> None:
        """Raise CallError for a reply that is wrong."""
        _check(reply["user_id"], question.user_ids[0], known=reply["user_known"], to_be_known=question.known)
        _check_count(len(reply["features"]), self._features)


class FeastHttp(_Http):
    """`feast serve`'s `POST /get-online-features`, asked as the gateway asks it."""

    name: ClassVar[str] = "feast-http"
    label: ClassVar[str] = "feast serve"
    batches: ClassVar[bool] = True

    def ask(self, question: Question, *, timeout_s: float) -> tuple[Any, int]:  # noqa: ARG002  # it knows no deadline
        """Return the reply's JSON, and its size in bytes. Raises CallError."""
        body = {
            "features": self._features.references,
            "entities": {self._features.join_key: question.user_ids},
            "full_feature_names": True,
        }
        return self._send("POST", "/get-online-features", orjson.dumps(body))

    def check(self, reply: Any, question: Question) -> None:
        """Raise CallError for a reply that is wrong; a user all of whose columns were never written is unknown."""
        names = reply["metadata"]["feature_names"]
        columns = dict(zip(names, reply["results"], strict=True))
        user_ids = columns.pop(self._features.join_key)["values"]
        if len(user_ids) != len(question.user_ids):
            raise CallError("another number of users than was asked for")
        _check_count(len(columns), self._features)
        stamps = [column["event_timestamps"] for column in columns.values()]
        for row, (answered, asked) in enumerate(zip(user_ids, question.user_ids, strict=True)):
            known = any(column[row] != _NEVER_WRITTEN for column in stamps)
            _check(answered, asked, known=known, to_be_known=question.known)


def _check(answered: str, asked: str, *, known: bool, to_be_known: bool) -> None:
    if answered != asked:
        raise CallError("another user than was asked for")
    if known != to_be_known:
        raise CallError("a user that the store has is unknown" if to_be_known else "a user that nobody has is known")


def _check_count(count: int, features: Features) -> None:
    if count != len(features.references):
        raise CallError(f"{count} features, not {len(features.references)}")
