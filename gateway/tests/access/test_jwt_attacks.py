"""Tokens that are not what they say: each is refused by the running gateway, with one text and without a read."""

import base64
import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import hypothesis
import jwt
import pytest
from access_fakes import (
    AUDIENCE,
    ISSUER,
    TIMEOUT_S,
    USER,
    Issuer,
    Place,
    Shown,
    rsa_key,
    unary,
    unsigned,
    with_jwts,
    write_jwks,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from feature_gateway.access.jwt_keys import key_set_of
from feature_gateway.access.jwt_tokens import Jwts, JwtTerms
from feature_gateway.access.refusals import CredentialsError, UnknownKeyError
from feature_gateway.errors import StartError
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, error_details
from hypothesis import given
from hypothesis import strategies as st
from streamflow.features.v1.user_feature_service_pb2 import GetUserFeaturesRequest
from streamflow.features.v1.user_feature_service_pb2_grpc import UserFeatureServiceStub

_EC, _RSA = Issuer(), Issuer("key-rsa", "RS256", rsa_key())
_TEXT = "The call's credentials are missing, or not valid."


def _claims(**changes: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "right", "exp": int(time.time()) + 3600, **changes}


def _signed_with_the_public_key(secret: bytes) -> str:
    """What a verifier takes that has the token choose how its key is used."""
    signing = unsigned({"alg": "HS256", "typ": "JWT", "kid": _RSA.kid}, _claims()).rstrip(".")
    signature = hmac.digest(signing.encode(), secret, "sha256")
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _tampered() -> str:
    header, _, signature = _EC.token("nobody").split(".")
    return f"{header}.{unsigned({}, _claims(sub='admin')).split('.')[1]}.{signature}"


def _pem() -> bytes:
    return rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


_NOW = int(time.time())
_STRANGER = Issuer()
_ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned({"alg": "none", "kid": _EC.kid}, _claims()),
    "alg None": lambda: unsigned({"alg": "None", "kid": _EC.kid}, _claims()),
    "alg empty": lambda: unsigned({"alg": "", "kid": _EC.kid}, _claims()),
    "alg missing": lambda: unsigned({"kid": _EC.kid}, _claims()),
    "alg a list": lambda: unsigned({"alg": ["ES256"], "kid": _EC.kid}, _claims()),
    "the public key as a secret, PEM": lambda: _signed_with_the_public_key(_pem()),
    "the public key as a secret, JWK": lambda: _signed_with_the_public_key(json.dumps(_RSA.jwk()).encode()),
    "another family's key": lambda: _EC.token(headers={"kid": _RSA.kid}),
    "an algorithm that is not pinned": lambda: Issuer("key-rsa", "PS256", rsa_key()).token(),
    "a stranger's key by a known id": _STRANGER.token,
    "a key of its own in the header": lambda: _STRANGER.token(headers={"jwk": _STRANGER.jwk()}),
    "keys of its own at a URL": lambda: _STRANGER.token(headers={"jku": "http://127.0.0.1:1/jwks", "x5u": "file:///x"}),
    "a header that must be understood": lambda: _EC.token(headers={"crit": ["b64x"], "b64x": True}),
    "no signature": lambda: _EC.token().rpartition(".")[0] + ".",
    "another's claims": _tampered,
    "wrong issuer": lambda: _EC.token(iss="https://other.example"),
    "issuer a list": lambda: _EC.token(iss=[ISSUER]),
    "no issuer": lambda: _EC.token(iss=None),
    "wrong audience": lambda: _EC.token(aud="another-service"),
    "other audiences": lambda: _EC.token(aud=["a", "b"]),
    "no audience": lambda: _EC.token(aud=None),
    "unknown kid": lambda: _EC.token(headers={"kid": "key-9"}),
    "kid as a path": lambda: _EC.token(headers={"kid": "../../../../dev/null"}),
    "kid as SQL": lambda: _EC.token(headers={"kid": "x' UNION SELECT 'secret"}),
    "kid a number": lambda: unsigned({"alg": "ES256", "kid": 1}, _claims(), b"x"),
    "no kid": lambda: jwt.encode(_claims(), _EC.key, algorithm="ES256"),
    "expired": lambda: _EC.token(exp=_NOW - 3600),
    "expired beyond the leeway": lambda: _EC.token(exp=_NOW - 31),
    "no end": lambda: _EC.token(exp=None),
    "an endless end": lambda: _EC.token(exp=float("inf")),
    "an end that is no number": lambda: _EC.token(exp="soon"),
    "not yet valid": lambda: _EC.token(nbf=_NOW + 3600),
    "issued in the future": lambda: _EC.token(iat=_NOW + 3600),
    "no subject": lambda: _EC.token(sub=None),
    "an empty subject": lambda: _EC.token(""),
    "a subject that is a number": lambda: _EC.token(sub=7),
    "a long subject": lambda: _EC.token("x" * 257),
    "a subject of two lines": lambda: _EC.token("right\nadmin"),
    "oversized": lambda: _EC.token(padding="x" * 5500),
    "nested": lambda: f"{base64.urlsafe_b64encode(b'[' * 4000).decode()}.e30.e30",
    "claims that are a list": lambda: jwt.api_jws.encode(b"[]", _EC.key, algorithm="ES256", headers={"kid": _EC.kid}),
}
_SOUND: dict[str, Callable[[], str]] = {
    "plain": _EC.token,
    "RSA": _RSA.token,
    "one of several audiences": lambda: _EC.token(aud=["other", AUDIENCE]),
    "expired within the leeway": lambda: _EC.token(exp=int(time.time()) - 5),
    "valid within the leeway": lambda: _EC.token(nbf=int(time.time()) + 20, iat=int(time.time()) + 20),
}


@pytest.mark.parametrize("engine", ["grpcio", "native"])
async def test_attacks_are_refused_with_one_text_and_reach_no_feature_server(
    settings: Settings,
    feature_server: FakeFeatureServer,
    tmp_path: Path,
    engine: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "feature_gateway")
    gated = with_jwts(replace(settings, grpc_engine=engine), tmp_path, _EC.jwk(), _RSA.jwk())
    async with running_gateway(gated) as addresses, grpc.aio.insecure_channel(addresses.grpc) as channel:
        stub: Any = UserFeatureServiceStub(channel)
        for attack, make in _ATTACKS.items():
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.GetUserFeatures(
                    GetUserFeaturesRequest(user_id=USER),
                    timeout=TIMEOUT_S,
                    metadata=(("authorization", f"Bearer {(token := make())}"),),
                )
            # The log says why, and quotes nothing.
            assert "credentials refused: " in caplog.text, attack
            assert not any(part in caplog.text for part in token.split(".") if part not in {"", "e30"}), attack
            caplog.clear()
            info, _ = error_details(raised.value)
            told = raised.value.code().name, raised.value.details(), info.reason, dict(info.metadata)
            assert told == ("UNAUTHENTICATED", _TEXT, "ERROR_REASON_CREDENTIALS_INVALID", {}), attack
            assert await Place(addresses).http_status(f"/features/{USER}", Shown(f"Bearer {make()}")) == 401, attack
        assert feature_server.requests == []
        for name, make in _SOUND.items():
            assert await unary(channel, "GetUserFeatures", Shown(f"Bearer {make()}")) == "OK", name
        assert await unary(channel, "GetUserFeatures", Shown(f"bearer  {_EC.token()}")) == "OK"


_TERMS = JwtTerms(issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"ES256"}), leeway_s=0)
_JWTS = Jwts(lambda: key_set_of(json.dumps({"keys": [_EC.jwk()]}).encode(), algorithms=_TERMS.algorithms), _TERMS)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["ES256", "none"]) | _JSON,
        "kid": st.just(_EC.kid) | _JSON,
        "crit": st.just(["b64"]) | _JSON,
        "b64": _JSON,
        "typ": _JSON,
    },
)
_CLAIMS = st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]), _JSON)
_TOKENS = st.lists(st.text(max_size=40), max_size=5).map(".".join) | st.builds(unsigned, _HEADERS, _CLAIMS, st.binary())


@hypothesis.settings(max_examples=500)
@given(_TOKENS)
def test_any_text_is_refused_as_credentials(token: str) -> None:
    with pytest.raises(CredentialsError):
        _JWTS.identity(token)


@given(_CLAIMS, st.fixed_dictionaries({"iss": st.just(ISSUER), "aud": st.just(AUDIENCE)}) | st.just({}))
def test_any_claims_that_are_not_those_of_a_token_are_refused(claims: dict[str, Any], right: dict[str, Any]) -> None:
    content = json.dumps(claims | right | {"jti": 1}).encode()
    token = jwt.api_jws.encode(content, _EC.key, algorithm="ES256", headers={"kid": _EC.kid})
    with pytest.raises(CredentialsError):
        _JWTS.identity(token)


def test_keys_that_are_too_weak_secret_private_or_for_other_uses_are_left_out() -> None:
    weak = Issuer("weak", "RS256", rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505
    private = {**Issuer("private").jwk(), "d": "AAAA"}
    unusable = [
        weak.jwk(),
        private,
        Issuer("encryption").jwk(use="enc"),
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "RSA", "kid": "broken", "alg": "RS256", "n": "!", "e": "AQAB"},
        "no key",
    ]
    algorithms = frozenset({"RS256", "ES256"})
    keys = key_set_of(json.dumps({"keys": [*unusable, _EC.jwk()]}).encode(), algorithms=algorithms)
    found = [
        kid
        for kid in ("weak", "private", "encryption", "secret", "broken", _EC.kid)
        for algorithm in algorithms
        if keys.find(kid, algorithm)
    ]
    assert found == [_EC.kid]
    with pytest.raises(ValueError, match="no public key for ES256, RS256"):
        key_set_of(json.dumps({"keys": unusable}).encode(), algorithms=algorithms)


def test_a_token_without_a_key_id_is_checked_with_the_only_key() -> None:
    token = jwt.encode(_claims(), _EC.key, algorithm="ES256")
    assert _JWTS.identity(token).name == "jwt:right"
    both = json.dumps({"keys": [_EC.jwk(), Issuer("key-2").jwk()]}).encode()
    with pytest.raises(UnknownKeyError):
        Jwts(lambda: key_set_of(both, algorithms=_TERMS.algorithms), _TERMS).identity(token)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"keys": 1}', b'{"keys": []}', b"\xff"])
async def test_a_file_without_keys_keeps_the_gateway_from_starting(
    settings: Settings, tmp_path: Path, content: bytes
) -> None:
    gated = with_jwts(settings, tmp_path, _EC.jwk())
    (tmp_path / "jwks.json").write_bytes(content)
    with pytest.raises(StartError, match=r"GATEWAY_JWKS_FILE: .*jwks\.json: it "):
        async with running_gateway(gated):
            pass
    write_jwks(tmp_path / "jwks.json", _EC.jwk())
    async with running_gateway(gated):
        pass
