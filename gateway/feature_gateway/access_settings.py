"""The settings of who may call."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from feature_gateway import texts
from feature_gateway.access.jwt_keys import ALGORITHMS
from feature_gateway.access.policy import KINDS
from feature_gateway.environment import setting

NO_AUTH = ("none",)
_MAX_LEEWAY_S = 300.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _modes_of(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    if modes != NO_AUTH and not set(modes) <= set(KINDS):
        raise ValueError(f"it takes none, or {', '.join(KINDS)} with commas between")
    return modes


def _algorithms_of(text: str) -> tuple[str, ...]:
    algorithms = tuple(dict.fromkeys(text.split(",")))
    if not set(algorithms) <= ALGORITHMS.keys():
        raise ValueError(f"it takes {', '.join(ALGORITHMS)} with commas between")
    return algorithms


def _leeway_of(text: str) -> float:
    leeway_s = texts.seconds_of(text)
    if leeway_s > _MAX_LEEWAY_S:
        raise ValueError(f"it takes at most {_MAX_LEEWAY_S:g} s")
    return leeway_s


def _keys_url_of(text: str) -> str:
    parts = urlsplit(text)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if text and not (safe and parts.hostname and parts.username is None and not parts.fragment):
        raise ValueError("it takes an https URL without user name; http for this machine alone")
    return text


def _passed_on_of(text: str) -> str:
    if text not in {"", "caller", "own", "none"}:
        raise ValueError("it takes caller, own or none")
    return text


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """The settings of who may call; each field has its variable and its default."""

    auth: tuple[str, ...] = setting("GATEWAY_AUTH", NO_AUTH, _modes_of)
    """How callers are known: by a token of the file, a JSON Web Token, a client certificate; or nobody has to be."""

    tokens_file: Path | None = setting("GATEWAY_TOKENS_FILE", None, texts.path_if_any_of)
    """The names and hashes of tokens; read at the start and whenever it changes."""

    jwks_file: Path | None = setting("GATEWAY_JWKS_FILE", None, texts.path_if_any_of)
    """The keys of the issuer; read at the start and whenever it changes."""

    jwks_url: str = setting("GATEWAY_JWKS_URL", "", _keys_url_of, quoted=False)
    """Where the keys of the issuer are fetched."""

    jwks_refresh_s: float = setting("GATEWAY_JWKS_REFRESH_S", 300.0, texts.some_seconds_of)
    """How often they are fetched."""

    jwks_max_age_s: float = setting("GATEWAY_JWKS_MAX_AGE_S", 3600.0, texts.some_seconds_of)
    """How long keys are used while they can't be fetched again."""

    jwt_issuer: str = setting("GATEWAY_JWT_ISSUER", "", str)
    """The issuer that tokens must have."""

    jwt_audience: str = setting("GATEWAY_JWT_AUDIENCE", "", str)
    """The audience that tokens must have."""

    jwt_algorithms: tuple[str, ...] = setting("GATEWAY_JWT_ALGORITHMS", ("RS256", "ES256"), _algorithms_of)
    """The algorithms that tokens may be signed with."""

    jwt_leeway_s: float = setting("GATEWAY_JWT_LEEWAY_S", 30.0, _leeway_of)
    """How far the issuer's clock may be from this one."""

    policy_file: Path | None = setting("GATEWAY_POLICY_FILE", None, texts.path_if_any_of)
    """What each identity may read; read at the start and whenever it changes. None: all of them may read all."""

    passed_on: str = setting("GATEWAY_PASSED_ON", "", _passed_on_of)
    """The Authorization header of reads: the caller's, that of canary reads (own), or none; empty: see README."""
