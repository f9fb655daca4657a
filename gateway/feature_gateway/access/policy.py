"""The policy file: what each identity may read, and how much a second; pure.

    [identities."token:churn"]
    feature_services = ["churn_v1"]
    feature_views = []
    calls_per_s = 500
    users_per_s = 20000

`"jwt:*"` stands for all identities of a kind, `"*"` for all others. Names of features are `"*"` for all.
"""

import math
import tomllib
from collections.abc import Mapping
from typing import Any

from feature_gateway.access.caller import ALL, NOTHING, Rights

_ANY = "*"
KINDS = ("token", "jwt", "mtls")
"""What identities begin with, in front of a colon: how the gateway knows them."""
_NAMES, _RATES = ("feature_services", "feature_views"), ("calls_per_s", "users_per_s")


class Policy:
    """What identities may read. Without entries, an identity may read nothing."""

    def __init__(self, entries: Mapping[str, Rights]) -> None:
        """Create a policy from rights by identity."""
        self._entries = entries

    def rights_of(self, identity: str) -> Rights:
        """Return the rights of the entry that fits an identity most closely; NOTHING if none does."""
        kind = identity.partition(":")[0]
        for name in (identity, f"{kind}:{_ANY}", _ANY):
            if name in self._entries:
                return self._entries[name]
        return NOTHING


EVERYTHING = Policy({_ANY: ALL})
"""What holds without a policy file: whoever is known may read all."""


def policy_of(content: bytes) -> Policy:
    """Return the policy of a file's content; raise ValueError, which says what is wrong, for one that can't be used."""
    parsed = tomllib.loads(content.decode())
    unknown = sorted(parsed.keys() - {"identities"})
    if unknown:
        raise ValueError(f"it has {', '.join(map(repr, unknown))}, and takes identities alone")
    entries = parsed.get("identities")
    if not isinstance(entries, dict) or not entries:
        raise ValueError('it has no identities, for example [identities."token:NAME"]')
    return Policy({_checked_identity(name): _rights(name, entry) for name, entry in entries.items()})


def _checked_identity(name: str) -> str:
    kind, colon, rest = name.partition(":")
    if name != _ANY and not (kind in KINDS and colon and rest):
        raise ValueError(f'{name!r} is no identity: it takes "*", or one of {", ".join(KINDS)}, a colon and a name')
    return name


def _rights(name: str, entry: Any) -> Rights:
    if not isinstance(entry, dict):
        raise ValueError(f"{name!r} is not a table")  # noqa: TRY004  # of the file's content, as all others
    unknown = sorted(entry.keys() - {*_NAMES, *_RATES})
    if unknown:
        raise ValueError(f"{name!r} has {', '.join(map(repr, unknown))}; it takes {', '.join((*_NAMES, *_RATES))}")
    names: dict[str, Any] = {field: _names(name, field, entry.get(field, [])) for field in _NAMES}
    rates: dict[str, Any] = {field: _rate(name, field, entry[field]) for field in _RATES if field in entry}
    return Rights(**names, **rates)


def _names(name: str, field: str, given: Any) -> frozenset[str] | None:
    if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
        raise ValueError(f'{field} of {name!r} is not a list of names; ["*"] stands for all')
    if _ANY in given and len(given) > 1:
        raise ValueError(f'{field} of {name!r} has "*" beside other names')
    return None if given == [_ANY] else frozenset(given)


def _rate(name: str, field: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
        raise ValueError(f"{field} of {name!r} is not a number above 0")
    return float(given)
