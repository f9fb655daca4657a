"""Issuers of tokens, files of who may call, and callers of every method."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import jwt
from aiohttp import ClientConnectionError, ClientSession
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from feature_gateway.access.token_file import digest_of
from feature_gateway.errors import HTTP_STATUSES
from feature_gateway.server import Addresses
from feature_gateway.settings import Settings
from google.rpc import code_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from streamflow.features.feast.serving import ServingService_pb2 as feast_pb2
from streamflow.features.v1 import user_feature_service_pb2 as pb2
from tls_files import HOST, Certified, write

ISSUER, AUDIENCE = "https://issuer.example", "feature-gateway"
USER = "3413-BMNZE"
TIMEOUT_S = 30


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """A key that takes long to make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Issuer:
    """Signs tokens with a key, of which it has an id."""

    kid: str = "key-1"
    algorithm: str = "ES256"
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key, as a JWKS has it."""
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.key.public_key(), as_dict=True)
        return {**made, "kid": self.kid, "alg": self.algorithm, "use": "sig", **changes}

    def token(self, subject: str = "right", *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token that is valid for an hour, but for changes of its claims; None leaves a claim out."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600, **changes}
        given = {name: value for name, value in claims.items() if value is not None}
        # jwt.encode would refuse wrong claims.
        return jwt.api_jws.encode(
            json.dumps(given).encode(),
            self.key,
            algorithm=self.algorithm,
            headers={"kid": self.kid, **(headers or {})},
        )


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """A token made by hand."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def write_jwks(path: Path, *keys: dict[str, Any]) -> None:
    write(path, json.dumps({"keys": list(keys)}).encode())


def write_tokens(path: Path, tokens: Mapping[str, str]) -> None:
    """Write a file of tokens by name."""
    write(path, "".join(f"{name} sha256:{digest_of(token).hex()}\n" for name, token in tokens.items()).encode())


def write_policy(path: Path, entries: Mapping[str, Mapping[str, object]]) -> None:
    """Write a policy by identity."""
    tables = [
        "\n".join([f"[identities.{json.dumps(name)}]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())])
        for name, one in entries.items()
    ]
    write(path, "\n".join(tables).encode())


ALL: Mapping[str, object] = {"feature_services": ["*"], "feature_views": ["*"]}


def with_tokens(settings: Settings, folder: Path, tokens: Mapping[str, str]) -> Settings:
    """Settings of a gateway that takes the tokens of a file."""
    write_tokens(folder / "tokens", tokens)
    return replace(settings, auth=("token",), tokens_file=folder / "tokens")


def with_jwts(settings: Settings, folder: Path, *keys: dict[str, Any]) -> Settings:
    """Settings of a gateway that takes tokens which are signed with keys of a file."""
    write_jwks(folder / "jwks.json", *keys)
    return replace(
        settings,
        auth=("jwt",),
        jwks_file=folder / "jwks.json",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_algorithms=("RS256", "ES256"),
    )


def with_policy(settings: Settings, folder: Path, entries: Mapping[str, Mapping[str, object]]) -> Settings:
    """Settings of a gateway with a policy."""
    write_policy(folder / "policy.toml", entries)
    return replace(settings, policy_file=folder / "policy.toml")


@dataclass(frozen=True)
class Shown:
    """What a caller shows."""

    authorization: str | None = None
    certificate: Certified | None = None

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        return () if self.authorization is None else (("authorization", self.authorization),)


@dataclass(frozen=True)
class Place:
    """Where a gateway is called, and the authority of its certificate."""

    addresses: Addresses
    server: Certified | None = None

    def channel(self, shown: Shown) -> grpc.aio.Channel:
        if self.server is None:
            return grpc.aio.insecure_channel(self.addresses.grpc)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        credentials = self.server.channel_credentials(shown.certificate)
        return grpc.aio.secure_channel(f"{HOST}:{self.addresses.grpc.split(':')[1]}", credentials, options=options)

    async def http_status(self, path: str, shown: Shown) -> int:
        scheme = "http" if self.server is None else "https"
        url = f"{scheme}://{HOST if self.server else '127.0.0.1'}:{self.addresses.http.split(':')[1]}{path}"
        tls = self.server.context(shown.certificate) if self.server else True
        async with ClientSession() as session, session.get(url, ssl=tls, headers=dict(shown.metadata)) as response:
            await response.read()
            return response.status

    async def http_text(self, path: str) -> str:
        async with ClientSession() as session, session.get(f"http://{self.addresses.http}{path}") as response:
            return await response.text()


_OURS, _FEASTS = "/streamflow.features.v1.UserFeatureService/", "/feast.serving.ServingService/"


def _feasts_question() -> bytes:
    question = feast_pb2.GetOnlineFeaturesRequest(feature_service="churn_v1")
    question.entities["user_id"].val.add(string_val=USER)
    return question.SerializeToString()


UNARY: Mapping[str, tuple[str, bytes]] = {
    "GetUserFeatures": (_OURS, pb2.GetUserFeaturesRequest(user_id=USER).SerializeToString()),
    "BatchGetUserFeatures": (_OURS, pb2.BatchGetUserFeaturesRequest(user_ids=[USER]).SerializeToString()),
    "GetFeatureService": (_OURS, pb2.GetFeatureServiceRequest(name="churn_v1").SerializeToString()),
    "ListFeatureServices": (_OURS, b""),
    "GetFeastServingInfo": (_FEASTS, b""),
    "GetOnlineFeatures": (_FEASTS, _feasts_question()),
}


async def unary(channel: grpc.aio.Channel, method: str, shown: Shown) -> str:
    """The code that a call ends with."""
    path, request = UNARY[method]
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path + method)
    return await _code(call(request, timeout=TIMEOUT_S, metadata=shown.metadata))


async def stream(channel: grpc.aio.Channel, shown: Shown) -> str:
    """The code of a stream's only answer, or that the stream ends with."""
    call: Any = channel.stream_stream(
        f"{_OURS}StreamUserFeatures", response_deserializer=pb2.StreamUserFeaturesResponse.FromString
    )
    request = pb2.StreamUserFeaturesRequest(request_id=1, request=pb2.GetUserFeaturesRequest(user_id=USER))

    async def answers() -> int:
        messages = iter([request.SerializeToString()])
        (answer,) = [one async for one in call(messages, timeout=TIMEOUT_S, metadata=shown.metadata)]
        return int(answer.error.code)

    return await _told(answers)


async def reflection(channel: grpc.aio.Channel, shown: Shown) -> str:
    """The code that a list of services ends with."""
    call: Any = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )

    async def answers() -> int:
        messages = iter([ServerReflectionRequest(list_services="")])
        assert [one async for one in call(messages, timeout=TIMEOUT_S, metadata=shown.metadata)]
        return 0

    return await _told(answers)


async def _told(ask: Callable[[], Awaitable[int]]) -> str:
    """The code that a stream ends with, or that it gives.

    A client with grpc.aio forgets the code if it is writing when it is told (https://github.com/grpc/grpc/issues/36066).
    """
    while True:
        try:
            return str(code_pb2.Code.Name(await ask()))
        except grpc.aio.AioRpcError as error:
            if error.details() != "Internal error from Core":
                return error.code().name


async def over_http(place: Place, shown: Shown) -> str:
    """The code that the HTTP status of a request for features stands for."""
    codes = {status.value: code.name for code, status in HTTP_STATUSES.items()} | {200: "OK"}
    try:
        return codes[await place.http_status(f"/features/{USER}", shown)]
    except ClientConnectionError:
        return "UNAVAILABLE"


async def every_method(place: Place, shown: Shown) -> dict[str, str]:
    """The code of a call of each method, over gRPC and HTTP."""
    async with place.channel(shown) as channel:
        codes = {method: await unary(channel, method, shown) for method in UNARY}
        codes["StreamUserFeatures"] = await stream(channel, shown)
        codes["reflection"] = await reflection(channel, shown)
    codes["GET /features"] = await over_http(place, shown)
    return codes


async def becomes(code: str, ask: Callable[[], Awaitable[str]]) -> None:
    """Call until the calls end with a code."""
    async with asyncio.timeout(TIMEOUT_S):
        while await ask() != code:
            pass


async def _code(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
