"""Who gets in: every way that callers are known, every method, and everything that a caller may show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from access_fakes import (
    ALL,
    Issuer,
    Place,
    Shown,
    becomes,
    every_method,
    unary,
    with_jwts,
    with_policy,
    with_tokens,
    write_jwks,
    write_policy,
    write_tokens,
)
from feature_gateway import renewed
from feature_gateway.access.token_file import new_token
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, health_of
from tls_files import Certified, write

_IN, _OUT, _DENIED, _NO_TLS = "OK", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNAVAILABLE"

# A token of the file does not expire. TLS refuses certificates that are not of its authorities, or are not shown.
_EXPECTED: Mapping[str, Mapping[str, str]] = {
    "token": {
        "none": _OUT,
        "malformed": _OUT,
        "wrong": _OUT,
        "revoked meanwhile": _OUT,
        "right but not allowed": _DENIED,
        "right": _IN,
    },
    "jwt": {
        "none": _OUT,
        "malformed": _OUT,
        "wrong": _OUT,
        "expired": _OUT,
        "revoked meanwhile": _OUT,
        "right but not allowed": _DENIED,
        "right": _IN,
    },
    "mtls": {
        "none": _NO_TLS,
        "malformed": _OUT,
        "wrong": _NO_TLS,
        "expired": _NO_TLS,
        "revoked meanwhile": _DENIED,
        "right but not allowed": _DENIED,
        "right": _IN,
    },
}


class _Case(NamedTuple):
    mode: str
    engine: str
    shows: str
    code: str


_CASES = [
    _Case(mode, engine, case, code)
    for mode, codes in _EXPECTED.items()
    for engine in (("grpcio",) if mode == "mtls" else ("grpcio", "native"))
    for case, code in codes.items()
]


@dataclass(frozen=True)
class _Way:
    """A way to know callers: what they show, and how one of them is revoked."""

    settings: Settings
    shown: Mapping[str, Shown]
    revoke: Callable[[], None]
    server: Certified | None = None


def _by_token(settings: Settings, folder: Path) -> _Way:
    tokens = {name: new_token() for name in ("right", "revoked", "stranger")}

    def revoke() -> None:
        write_tokens(folder / "tokens", {name: token for name, token in tokens.items() if name != "revoked"})

    shown = {
        "none": Shown(),
        "malformed": Shown(tokens["right"]),
        "wrong": Shown(f"Bearer {new_token()}"),
        "revoked meanwhile": Shown(f"Bearer {tokens['revoked']}"),
        "right but not allowed": Shown(f"Bearer {tokens['stranger']}"),
        "right": Shown(f"Bearer {tokens['right']}"),
    }
    return _Way(with_tokens(settings, folder, tokens), shown, revoke)


def _by_jwt(settings: Settings, folder: Path) -> _Way:
    issuer, revoked, stranger = Issuer(), Issuer("key-2"), Issuer()
    shown = {
        "none": Shown(),
        "malformed": Shown("Bearer a.b.c"),
        "wrong": Shown(f"Bearer {stranger.token()}"),
        "expired": Shown(f"Bearer {issuer.token(exp=1)}"),
        "revoked meanwhile": Shown(f"Bearer {revoked.token('revoked')}"),
        "right but not allowed": Shown(f"Bearer {issuer.token('stranger')}"),
        "right": Shown(f"Bearer {issuer.token()}"),
    }

    def revoke() -> None:
        write_jwks(folder / "jwks.json", issuer.jwk())

    return _Way(with_jwts(settings, folder, issuer.jwk(), revoked.jwk()), shown, revoke)


def _by_certificate(settings: Settings, folder: Path) -> _Way:
    server, authority = Certified(folder / "server"), Certified(folder / "right")

    def certified(name: str, *names: str, common_name: str | None = None, ended: bool = False) -> Shown:
        one = Certified(folder / name, authority.authority)
        ends = datetime.now(UTC) - timedelta(days=1) if ended else None
        issued = authority.authority.issue_cert(*names, common_name=common_name, not_after=ends)
        write(one.cert_file, b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        write(one.key_file, issued.private_key_pem.bytes())
        return Shown(certificate=one)

    shown = {
        "none": Shown(),
        "malformed": certified("no-name", common_name="right"),
        "wrong": Shown(certificate=Certified(folder / "other")),
        "expired": certified("ended", "right", ended=True),
        "revoked meanwhile": certified("revoked", "revoked"),
        "right but not allowed": certified("stranger", "stranger"),
        "right": certified("right-client", "right"),
    }

    def revoke() -> None:
        write_policy(folder / "policy.toml", {"mtls:right": ALL})

    ways = replace(server.serves(settings, clients=authority), auth=("mtls",))
    return _Way(ways, shown, revoke, server)


_WAYS = {"token": _by_token, "jwt": _by_jwt, "mtls": _by_certificate}


@pytest.mark.parametrize("case", _CASES, ids="-".join)
async def test_who_gets_in_by_any_method_and_who_is_refused_without_a_read(
    case: _Case,
    settings: Settings,
    feature_server: FakeFeatureServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewed, "POLL_INTERVAL_S", 0.01)
    mode, engine, shows, code = case
    way = _WAYS[mode](replace(settings, grpc_engine=engine), tmp_path)
    gated = with_policy(way.settings, tmp_path, {f"{mode}:right": ALL, f"{mode}:revoked": ALL})
    shown = way.shown[shows]
    async with running_gateway(gated) as addresses:
        place = Place(addresses, way.server)
        if shows == "revoked meanwhile":
            async with place.channel(shown) as channel:
                assert await unary(channel, "GetUserFeatures", shown) == "OK"
                way.revoke()
                await becomes(code, lambda: unary(channel, "GetUserFeatures", shown))
            feature_server.requests.clear()
        codes = await every_method(place, shown)
    assert codes == dict.fromkeys(codes, code)
    # Five of the methods read.
    assert len(feature_server.requests) == (5 if code == "OK" else 0)


@pytest.mark.parametrize("engine", ["grpcio", "native"])
async def test_health_readiness_and_metrics_are_open_to_all(settings: Settings, tmp_path: Path, engine: str) -> None:
    gated = with_tokens(replace(settings, grpc_engine=engine), tmp_path, {"right": new_token()})
    async with running_gateway(gated) as addresses:
        place = Place(addresses)
        async with place.channel(Shown()) as channel:
            assert await health_of(channel) in {"SERVING", "NOT_SERVING"}
        assert await place.http_status("/health", Shown()) == 200
        assert await place.http_status("/metrics", Shown()) == 200
        assert await place.http_status("/ready", Shown()) in {200, 503}
