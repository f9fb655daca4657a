"""The keys that tokens of an issuer are signed with: a JSON Web Key Set; pure."""

from collections.abc import Mapping
from typing import Any

import jwt
import orjson

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The algorithms that can be pinned, with the type and the curve of their keys. None of them has a shared secret, so a
public key can't be taken for one."""

_MAX_KEYS = 100
_PRIVATE = "d"


class KeySet:
    """Finds the key of a token, for one of the algorithms that are pinned."""

    def __init__(self, keys: Mapping[str, Mapping[str, jwt.PyJWK]]) -> None:
        """Create it from keys by id and algorithm."""
        self._keys = keys

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of an id; of a token without an id, the only key. None if there is none for the algorithm."""
        if kid is None and len(self._keys) == 1:
            (only,) = self._keys.values()
            return only.get(algorithm)
        return self._keys.get(kid or "", {}).get(algorithm)


def key_set_of(content: bytes, *, algorithms: frozenset[str]) -> KeySet:
    """Return the public keys of a JWKS that are for some algorithms; others in it are left out.

    Raises ValueError, which quotes nothing, if that is not what it is, or if it leaves no key.
    """
    try:
        entries = orjson.loads(content)["keys"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("it is not a JSON Web Key Set") from error
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError(f"it has no list of at most {_MAX_KEYS} keys")
    keys: dict[str, dict[str, jwt.PyJWK]] = {}
    for entry in entries:
        for algorithm in _algorithms_of(entry) & algorithms:
            key = _key(entry, algorithm)
            if key is not None:
                keys.setdefault(str(entry.get("kid", "")), {}).setdefault(algorithm, key)
    if not keys:
        raise ValueError(f"it has no public key for {', '.join(sorted(algorithms))}")
    return KeySet(keys)


def _algorithms_of(entry: Any) -> frozenset[str]:
    """Return what a key may be used with."""
    if not isinstance(entry, dict) or _PRIVATE in entry or entry.get("use", "sig") != "sig":
        return frozenset()
    kind = entry.get("kty"), entry.get("crv")
    fitting = {name for name, (kty, crv) in ALGORITHMS.items() if kind == (kty, crv)}
    return frozenset(name for name in fitting if entry.get("alg", name) == name)


def _key(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    too_short = key.Algorithm.check_key_length(key.key)
    return None if too_short else key
