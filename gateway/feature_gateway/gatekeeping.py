"""Makes the gate of the settings: who may call."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from feature_gateway.access.checking_gate import CheckingGate
from feature_gateway.access.gate import Gate, OpenGate
from feature_gateway.access.identity import Identity
from feature_gateway.access.jwks_url import JwksUrl
from feature_gateway.access.jwt_keys import KeySet, key_set_of
from feature_gateway.access.jwt_tokens import Jwts, JwtTerms
from feature_gateway.access.passing_on import PassingOn
from feature_gateway.access.policy import EVERYTHING, policy_of
from feature_gateway.access.token_file import tokens_of
from feature_gateway.access_settings import NO_AUTH
from feature_gateway.background import keep_running
from feature_gateway.errors import StartError
from feature_gateway.renewed import Renewed, keep_renewed
from feature_gateway.settings import Settings

_Content = TypeVar("_Content")
_Identity = Callable[[str], Identity]


@dataclass(frozen=True)
class Gatekeeping:
    """A gate, and what it goes by."""

    gate: Gate
    sources: Sequence[Renewed[Any] | JwksUrl] = ()

    @property
    def refused(self) -> bool:
        """Whether tokens, keys or policy have changed and can't be used, or keys can't be fetched."""
        return any(source.refused for source in self.sources)


def gatekeeping_of(settings: Settings, stack: AsyncExitStack) -> Gatekeeping:
    """Return the gate of the settings, whose files are reread until the stack closes.

    Raises StartError for files that can't be used, and for settings that do not fit together.
    """
    passing_on = _passing_on(settings)
    _check(settings)
    if settings.auth == NO_AUTH:
        return Gatekeeping(OpenGate(passing_on))
    policy = _file(settings.policy_file, policy_of, "GATEWAY_POLICY_FILE") if settings.policy_file else None
    files: list[Renewed[Any]] = [] if policy is None else [policy]
    keys_of_issuer: Renewed[KeySet] | JwksUrl | None = None
    by_mode: dict[str, _Identity] = {}
    if "token" in settings.auth and settings.tokens_file:
        tokens = _file(settings.tokens_file, tokens_of, "GATEWAY_TOKENS_FILE")
        files.append(tokens)
        # Not the method of the tokens of now.
        by_mode["token"] = lambda token: tokens.current.identity(token)  # noqa: PLW0108
    if "jwt" in settings.auth:
        keys = keys_of_issuer = _keys(settings)
        if isinstance(keys, Renewed):
            files.append(keys)
        by_mode["jwt"] = Jwts(lambda: keys.current, _terms(settings)).identity
    gate = CheckingGate(
        token_identity=_of_any(by_mode),
        certificates="mtls" in settings.auth,
        policy=lambda: policy.current if policy is not None else EVERYTHING,
        passing_on=passing_on,
        keys_refreshed=keys_of_issuer.refreshed if isinstance(keys_of_issuer, JwksUrl) else None,
    )
    keep_running(keep_renewed(files, changed=lambda made: gate.changed(policy=policy in made)), stack)
    if isinstance(keys_of_issuer, JwksUrl):
        keep_running(keys_of_issuer.keep(gate.changed), stack)
        return Gatekeeping(gate, [*files, keys_of_issuer])
    return Gatekeeping(gate, files)


def _file(path: Path, parse: Callable[[bytes], _Content], variable: str) -> Renewed[_Content]:
    def content() -> _Content:
        try:
            return parse(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    return Renewed(content, [path], what=variable)


def _keys(settings: Settings) -> Renewed[KeySet] | JwksUrl:
    parse = partial(key_set_of, algorithms=frozenset(settings.jwt_algorithms))
    if settings.jwks_file is not None:
        return _file(settings.jwks_file, parse, "GATEWAY_JWKS_FILE")
    return JwksUrl(settings.jwks_url, parse, refresh_s=settings.jwks_refresh_s, max_age_s=settings.jwks_max_age_s)


def _terms(settings: Settings) -> JwtTerms:
    return JwtTerms(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=frozenset(settings.jwt_algorithms),
        leeway_s=settings.jwt_leeway_s,
    )


def _of_any(by_mode: dict[str, _Identity]) -> _Identity | None:
    """Return what finds a token's identity in any of the ways that tokens are known."""
    if len(by_mode) < len(("token", "jwt")):
        return next(iter(by_mode.values()), None)
    # Three parts with dots between are a JSON Web Token; the file's tokens have no dots.
    return lambda token: by_mode["jwt" if token.count(".") == 2 else "token"](token)  # noqa: PLR2004  # said above


def _passing_on(settings: Settings) -> PassingOn:
    which = settings.passed_on or ("caller" if settings.auth == NO_AUTH else "none")
    if which == "own" and not settings.canary_authorization:
        raise StartError("GATEWAY_PASSED_ON is own, which needs GATEWAY_CANARY_AUTHORIZATION or its _FILE")
    return PassingOn(callers=which == "caller", own=settings.canary_authorization if which == "own" else "")


def _check(settings: Settings) -> None:
    """Raise StartError for settings of a mode that is not on, and for a mode without its settings."""
    modes = settings.auth
    keys = [bool(settings.jwks_file), bool(settings.jwks_url)]
    needs = {
        "token": {"GATEWAY_TOKENS_FILE": bool(settings.tokens_file)},
        "jwt": {
            "one of GATEWAY_JWKS_FILE and GATEWAY_JWKS_URL": sum(keys) == 1,
            "GATEWAY_JWT_ISSUER": bool(settings.jwt_issuer),
            "GATEWAY_JWT_AUDIENCE": bool(settings.jwt_audience),
        },
        "mtls": {"GATEWAY_TLS_CLIENT_CA_FILE": bool(settings.tls_client_ca_file)},
    }
    for mode in modes:
        missing = [name for name, given in needs.get(mode, {}).items() if not given]
        if missing:
            raise StartError(f"GATEWAY_AUTH has {mode}, which needs {', '.join(missing)}")
    # Who sets one of these believes that callers are checked.
    without = {
        "token": ("GATEWAY_TOKENS_FILE", settings.tokens_file),
        "jwt": ("GATEWAY_JWKS_FILE, GATEWAY_JWKS_URL", settings.jwks_file or settings.jwks_url),
    }
    for mode, (names, given) in without.items():
        if given and mode not in modes:
            raise StartError(f"{names} is set, and GATEWAY_AUTH has no {mode}")
    if settings.policy_file and modes == NO_AUTH:
        raise StartError("GATEWAY_POLICY_FILE is set, and GATEWAY_AUTH is none")
    if settings.passed_on == "caller" and modes == ("mtls",):
        raise StartError("GATEWAY_PASSED_ON is caller, and GATEWAY_AUTH is mtls: a certificate can't be passed on")
