"""By what calls merge, what feature servers get of credentials, and who certificates and files stand for."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from access_fakes import TIMEOUT_S, Issuer, Place, Shown, unary, with_jwts, with_policy, with_tokens, write_tokens
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from feature_gateway.access import tokens
from feature_gateway.access.certificates import identity_of
from feature_gateway.access.checking_gate import CheckingGate
from feature_gateway.access.passing_on import PassingOn
from feature_gateway.access.policy import EVERYTHING
from feature_gateway.access.refusals import CredentialsError
from feature_gateway.access.token_file import tokens_of
from feature_gateway.environment import SettingsError
from feature_gateway.errors import GatewayError, StartError
from feature_gateway.server import running_gateway
from feature_gateway.settings import Settings
from gateway_fakes import FakeFeatureServer, feast_answer
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_ISSUER = Issuer()


class _Reads:
    """The reads of a feature server, which are held until a test lets them go."""

    def __init__(self, server: FakeFeatureServer) -> None:
        self.headers: list[str | None] = []
        self.users: list[int] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        server.answer = self.answer

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.headers.append(request.headers.get("Authorization"))
        self.users.append(len(body["entities"]["user_id"]))
        self.begun.set()
        await self.go.wait()
        return web.json_response(feast_answer(body))


async def _merged(settings: Settings, server: FakeFeatureServer, authorizations: list[str]) -> _Reads:
    """Have a first call hold the only slot while one call of each authorization gathers behind it."""
    reads = _Reads(server)
    async with (
        asyncio.timeout(TIMEOUT_S),
        running_gateway(settings) as addresses,
        grpc.aio.insecure_channel(addresses.grpc) as channel,
    ):

        def call(authorization: str) -> asyncio.Task[str]:
            return asyncio.create_task(unary(channel, "GetUserFeatures", Shown(authorization)))

        calls = [call(authorizations[0])]
        await reads.begun.wait()
        calls += [call(authorization) for authorization in authorizations]
        place = Place(addresses)
        while f"gateway_queued_calls {len(authorizations)}.0" not in await place.http_text("/metrics"):
            pass
        reads.go.set()
        assert {await one for one in calls} == {"OK"}
    return reads


async def test_calls_of_one_identity_share_reads_whatever_its_tokens_and_get_no_header(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    gated = with_jwts(settings, tmp_path, _ISSUER.jwk())
    bearers = [f"Bearer {_ISSUER.token(subject, jti=str(number))}" for number, subject in enumerate("aabab")]
    reads = await _merged(gated, feature_server, bearers)
    # One that was there, and one for each identity.
    assert len(reads.headers) == 3
    assert set(reads.headers) == {None}


async def test_the_callers_own_token_is_passed_on_the_one_that_lasts_longest(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    gated = replace(with_jwts(settings, tmp_path, _ISSUER.jwk()), passed_on="caller")
    bearers = [f"Bearer {_ISSUER.token('a', exp=4_000_000_000 + offset)}" for offset in (0, 2, 1)]
    reads = await _merged(gated, feature_server, bearers)
    assert reads.headers == [bearers[0], bearers[1]]


async def test_the_gateways_own_header_is_passed_on(
    settings: Settings, feature_server: FakeFeatureServer, tmp_path: Path
) -> None:
    gated = with_tokens(settings, tmp_path, {"a": "x", "b": "y"})
    own = replace(gated, passed_on="own", canary_authorization="Bearer own")
    reads = await _merged(own, feature_server, ["Bearer x", "Bearer y", "Bearer x"])
    assert reads.headers == ["Bearer own"] * 3


def _certificate(*names: x509.GeneralName, common_name: str = "common") -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("names", "identity"),
    [
        ([x509.DNSName("a"), x509.UniformResourceIdentifier("spiffe://td/a")], "mtls:spiffe://td/a"),
        ([x509.RFC822Name("a@b.c"), x509.DNSName("a"), x509.DNSName("b")], "mtls:a"),
        ([x509.RFC822Name("a@b.c")], "mtls:a@b.c"),
    ],
)
def test_a_certificate_stands_for_its_first_uri_or_dns_name_or_address(
    names: list[x509.GeneralName], identity: str
) -> None:
    pem = _certificate(*names)
    of_pem, of_der = identity_of(pem), identity_of(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    assert of_pem.name == of_der.name == identity
    assert of_pem.until_s == of_der.until_s > datetime.now(UTC).timestamp()


@pytest.mark.parametrize("make", [_certificate, lambda: b"", lambda: b"-----BEGIN nonsense"])
def test_a_certificate_without_names_stands_for_nobody(make: Callable[[], bytes]) -> None:
    with pytest.raises(CredentialsError):
        identity_of(make())


def _gate(**changes: Any) -> CheckingGate:
    values: dict[str, Any] = {"token_identity": None, "certificates": True, **changes}
    return CheckingGate(policy=lambda: EVERYTHING, passing_on=PassingOn(callers=False), **values)


async def test_a_header_that_two_certificates_are_shown_with_makes_them_no_one_caller() -> None:
    gate = _gate()
    for name in ("a", "b", "a"):
        assert (await gate.admitted("Bearer same", _certificate(x509.DNSName(name)))).key == f"mtls:{name}"


async def test_a_certificate_does_not_make_a_wrong_token_right() -> None:
    gate = _gate(token_identity=tokens_of(b"").identity)
    certificate = _certificate(x509.DNSName("a"))
    assert (await gate.admitted("", certificate)).key == "mtls:a"
    with pytest.raises(GatewayError) as raised:
        await gate.admitted("Bearer x", certificate)
    assert raised.value.reason == ErrorReason.ERROR_REASON_CREDENTIALS_INVALID


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tokens"

    def run(*arguments: str) -> str:
        tokens.main(["--file", str(file), *arguments])
        return capsys.readouterr().out

    first = run("add", "churn").strip()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(f"# of the churn team\n{file.read_text()}")
    second, other = run("add", "churn").strip(), run("add", "other").strip()
    today = datetime.now(UTC).date().isoformat()
    assert run("list") == f"churn {today}\nchurn {today}\nother {today}\n"
    content = file.read_text()
    assert not any(token in content for token in (first, second, other))

    def names() -> dict[str, str]:
        known = {}
        for token in (first, second, other):
            try:
                known[token] = tokens_of(file.read_bytes()).identity(token).name
            except CredentialsError:
                continue
        return known

    assert names() == {first: "token:churn", second: "token:churn", other: "token:other"}
    run("remove", "churn", "--keep-last")
    assert names() == {second: "token:churn", other: "token:other"}
    run("remove", "churn")
    assert names() == {other: "token:other"}
    assert file.read_text().startswith("# of the churn team\n")
    assert os.listdir(tmp_path) == ["tokens"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["remove", "nobody"], "it has no token of nobody"),
        (["add", "two words"], "it has up to 128 letters"),
        (["list"], "line 1 is not of the form: NAME sha256:HASH DAY"),
    ],
)
def test_the_command_says_what_it_can_not_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    file = tmp_path / "tokens"
    if arguments == ["list"]:
        file.write_text("churn my-secret")
    with pytest.raises(SystemExit) as raised:
        tokens.main(["--file", str(file), *arguments])
    shown = f"{raised.value.code}{capsys.readouterr().err}"
    assert said in shown
    assert "my-secret" not in shown


def _with(**changes: Any) -> Callable[[Settings, Path], Settings]:
    return lambda settings, _folder: replace(settings, **changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_with(auth=("token",)), "GATEWAY_AUTH has token, which needs GATEWAY_TOKENS_FILE"),
        (
            _with(auth=("jwt",)),
            "needs one of GATEWAY_JWKS_FILE and GATEWAY_JWKS_URL, GATEWAY_JWT_ISSUER, GATEWAY_JWT_A",
        ),
        (_with(auth=("mtls",)), "GATEWAY_AUTH has mtls, which needs GATEWAY_TLS_CLIENT_CA_FILE"),
        (_with(tokens_file=Path("x")), "GATEWAY_TOKENS_FILE is set, and GATEWAY_AUTH has no token"),
        (_with(jwks_url="https://x"), "GATEWAY_JWKS_URL is set, and GATEWAY_AUTH has no jwt"),
        (_with(policy_file=Path("x")), "GATEWAY_POLICY_FILE is set, and GATEWAY_AUTH is none"),
        (_with(passed_on="own"), "GATEWAY_PASSED_ON is own, which needs GATEWAY_CANARY_AUTHORIZATION"),
        (
            lambda settings, folder: replace(with_tokens(settings, folder, {}), tokens_file=folder / "nope"),
            "GATEWAY_TOKENS_FILE: ",
        ),
        (
            lambda settings, folder: replace(
                with_policy(with_tokens(settings, folder, {}), folder, {}), policy_file=folder / "nope"
            ),
            "GATEWAY_POLICY_FILE: ",
        ),
    ],
)
async def test_settings_that_do_not_fit_together_keep_the_gateway_from_starting(
    settings: Settings, tmp_path: Path, change: Callable[[Settings, Path], Settings], said: str
) -> None:
    with pytest.raises(StartError) as raised:
        async with running_gateway(change(settings, tmp_path)):
            pass
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_AUTH", "password"),
        ("GATEWAY_AUTH", "none,token"),
        ("GATEWAY_AUTH", ""),
        ("GATEWAY_JWT_ALGORITHMS", "RS256,HS256"),
        ("GATEWAY_JWT_ALGORITHMS", "none"),
        ("GATEWAY_JWT_LEEWAY_S", "301"),
        ("GATEWAY_JWKS_URL", "http://issuer.example/jwks"),
        ("GATEWAY_JWKS_URL", "https://user:secret@issuer.example/jwks"),
        ("GATEWAY_JWKS_URL", "file:///etc/passwd"),
        ("GATEWAY_PASSED_ON", "all"),
    ],
)
def test_a_setting_that_is_not_safe_is_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.from_environment({variable: value})
    assert str(raised.value).startswith(variable)
    assert "secret" not in str(raised.value)


async def test_tokens_and_json_web_tokens_are_taken_side_by_side(settings: Settings, tmp_path: Path) -> None:
    gated = replace(
        with_jwts(with_tokens(settings, tmp_path, {"a": "x"}), tmp_path, _ISSUER.jwk()), auth=("token", "jwt")
    )
    write_tokens(tmp_path / "tokens", {"a": "x"})
    async with running_gateway(gated) as addresses, Place(addresses).channel(Shown()) as channel:
        for token, code in (
            ("x", "OK"),
            (_ISSUER.token(), "OK"),
            ("y", "UNAUTHENTICATED"),
            ("a.b.c", "UNAUTHENTICATED"),
        ):
            assert await unary(channel, "GetUserFeatures", Shown(f"Bearer {token}")) == code
