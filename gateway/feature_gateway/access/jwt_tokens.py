"""Checks JSON Web Tokens: signature, issuer, audience and times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from feature_gateway.access.identity import Identity
from feature_gateway.access.jwt_keys import KeySet
from feature_gateway.access.refusals import CredentialsError, NoKeysError, UnknownKeyError

_MAX_SUBJECT = 256
_REQUIRED = ["exp", "iss", "aud", "sub"]
# What a hostile token makes Python's JSON, base64 and numbers raise, besides PyJWT's own errors.
_MALFORMED = (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError)


@dataclass(frozen=True, kw_only=True)
class JwtTerms:
    """What a token must have."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    leeway_s: float
    """How far the issuer's clock may be from this one."""


class Jwts:
    """Finds whose token it is."""

    def __init__(self, keys: Callable[[], KeySet | None], terms: JwtTerms) -> None:
        """Create it; `keys` returns the issuer's keys, None while they are not known."""
        self._keys = keys
        self._terms = terms

    def identity(self, token: str) -> Identity:
        """Return whose token it is: its subject.

        Raises CredentialsError, UnknownKeyError if keys that are fetched anew might have its key, and NoKeysError.
        """
        try:
            header = jwt.get_unverified_header(token)
        except _MALFORMED as error:
            raise CredentialsError("it is not a JSON Web Token") from error
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._terms.algorithms:
            raise CredentialsError("its algorithm is not one of those that are taken")
        keys = self._keys()
        if keys is None:
            raise NoKeysError
        key = keys.find(kid, algorithm)
        if key is None:
            raise UnknownKeyError("its key is not known")
        return self._checked(self._claims(token, key, algorithm))

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any]:
        terms = self._terms
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=terms.issuer,
                audience=terms.audience,
                leeway=terms.leeway_s,
                options={"require": _REQUIRED},
            )
        except _MALFORMED as error:
            # The class alone: a text may quote the token.
            raise CredentialsError(f"it is refused as {type(error).__name__}") from error

    def _checked(self, claims: dict[str, Any]) -> Identity:
        subject, ends = claims["sub"], claims["exp"]
        if not (subject and len(subject) <= _MAX_SUBJECT and subject.isprintable()):
            raise CredentialsError("its subject is empty, too long or not printable")
        return Identity(f"jwt:{subject}", float(ends) + self._terms.leeway_s)
