"""Who is asked: the gateway over gRPC, the gateway over HTTP, and `feast serve`; and what a right reply is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import orjson
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from streamflow_loadtests.callers.calls import Api, Reply, Request
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.feast_api import FeastHttp
from streamflow_loadtests.callers.gateway_api import GatewayGrpc, GatewayHttp
from streamflow_loadtests.load.options import Options
from streamflow_loadtests.load.questions import Question
from streamflow_loadtests.load.security import Security

# Of an open loop's user, which has no bound on the calls that it has under way.
_MAX_CONNECTIONS = 4096
_HTTP_OK = 200


@dataclass(frozen=True, kw_only=True)
class Features:
    """What is asked of each user."""

    service: str
    join_key: str

    references: tuple[str, ...]
    """The feature service's features, "feature_view:feature"."""


class Connection(Protocol):
    """One locust user's connections to a target. `send` is on the clock."""

    def send(self, request: Request) -> bytes:
        """Return the reply's bytes. Raises CallError."""

    def close(self) -> None:
        """Close the connections."""


class GrpcConnection:
    """A gRPC connection that is made when it is first used."""

    def __init__(self, address: str, *, timeout_s: float, security: Security) -> None:
        # Channels of one process would share their connections. Each HTTP user has connections of its own.
        self._channel = security.channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._metadata = security.metadata()
        self._timeout_s = timeout_s

    def send(self, request: Request) -> bytes:
        """Return the reply's message. Raises CallError with the name of the gRPC code."""
        try:
            # Without serializers gRPC takes bytes and gives bytes.
            call: Any = self._channel.unary_unary(request.path)
            reply: bytes = call(request.body, timeout=self._timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise CallError(error.code().name) from error
        return reply

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class HttpConnection:
    """HTTP connections that are made when they are first used."""

    def __init__(self, url: str, *, timeout_s: float, security: Security) -> None:
        self._client = HTTPClient.from_url(
            url,
            headers=dict(security.metadata()),
            concurrency=_MAX_CONNECTIONS,
            connection_timeout=timeout_s,
            network_timeout=timeout_s,
            ssl_context_factory=lambda **_: security.context(),
        )

    def send(self, request: Request) -> bytes:
        """Return the reply's content. Raises CallError with the HTTP status, and the gateway's code if there is one."""
        method, headers = ("POST", {"Content-Type": "application/json"}) if request.body else ("GET", {})
        try:
            response = self._client.request(method, request.path, body=request.body, headers=headers)
            content = bytes(response.read())
            status = response.status_code
        except TimeoutError as error:
            raise CallError("no reply in time") from error
        except (OSError, HTTPConnectionClosed, HTTPParseError) as error:
            raise CallError(type(error).__name__) from error
        if status != _HTTP_OK:
            raise CallError(f"HTTP {status}{_code_of(content)}")
        return content

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _code_of(content: bytes) -> str:
    try:
        reply = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    return f" {reply['code']}" if isinstance(reply, dict) and "code" in reply else ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A kind of server that can be asked."""

    label: str
    """As reports have it."""

    protocol: str

    batches: bool
    """Whether there is a call for several users."""

    addresses: Callable[[Options], Sequence[str]]
    kind: Callable[..., Connection]
    """The class of its connections."""

    secured: bool
    """Whether its connections have the gateway's TLS and token."""

    api: Callable[[Features, Options], Api]

    def connect(self, address: str, *, timeout_s: float, security: Security) -> Connection:
        """Return connections of a locust user. `security` is the gateway's, and no other target is told of it.

        Raises ValueError for a malformed address or token, and OSError for a file that can't be read.
        """
        return self.kind(address, timeout_s=timeout_s, security=security if self.secured else Security())


TARGETS: Mapping[str, Target] = {
    "gateway-grpc": Target(
        label="gateway gRPC",
        protocol="gRPC",
        batches=True,
        addresses=lambda options: [options.gateway_grpc],
        kind=GrpcConnection,
        secured=True,
        api=lambda features, _: GatewayGrpc(feature_service=features.service),
    ),
    "gateway-http": Target(
        label="gateway HTTP",
        protocol="HTTP",
        batches=False,
        addresses=lambda options: options.gateway_http.split(","),
        kind=HttpConnection,
        secured=True,
        api=lambda features, options: GatewayHttp(feature_service=features.service, timeout_s=options.timeout_s),
    ),
    # Asked as the gateway asks it.
    "feast-http": Target(
        label="feast serve",
        protocol="HTTP",
        batches=True,
        addresses=lambda options: options.feast_http.split(","),
        kind=HttpConnection,
        secured=False,
        api=lambda features, _: FeastHttp(
            {"features": features.references, "full_feature_names": True}, join_key=features.join_key
        ),
    ),
}
"""By the names that --targets takes."""


def check(replies: Sequence[Reply], question: Question, features: Features) -> None:
    """Raise CallError for replies that are not about the users asked for, or have not all of their features."""
    if len(replies) != len(question.user_ids):
        raise CallError("another number of users than was asked for")
    for reply, user_id in zip(replies, question.user_ids, strict=True):
        if reply.user_id != user_id:
            raise CallError("another user than was asked for")
        if reply.user_known != question.known:
            raise CallError(
                "a user that the store has is unknown" if question.known else "a user that nobody has is known"
            )
        if len(reply.values) != len(features.references):
            raise CallError(f"{len(reply.values)} features, not {len(features.references)}")
