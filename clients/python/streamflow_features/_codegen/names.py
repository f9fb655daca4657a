"""Names of a contract become Python's: any text gives an identifier, the same each time, and no two give one."""

import hashlib
import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

from streamflow_features._codegen.contract import CodegenError

_DIGEST_LENGTH = 8


def class_names(services: Iterable[str], *, reserved: Collection[str]) -> dict[str, str]:
    """Return the class of each feature service: ChurnV1 of churn_v1."""
    return _told_apart(services, {name: _class_name(name, reserved) for name in services})


def attribute_names(features: Iterable[str], *, reserved: Collection[str]) -> dict[str, str]:
    """Return the field of each feature, or the argument of each request data: the name itself if it can be one."""
    return _told_apart(features, {name: _attribute_name(name, reserved) for name in features})


def _class_name(name: str, reserved: Collection[str]) -> str:
    parts = re.split(r"[\W_]+", unicodedata.normalize("NFKC", name))
    joined = "".join(part[:1].upper() + part[1:] for part in parts)
    return _free(joined if joined[:1].isalpha() else f"Service{joined}", reserved)


def _attribute_name(name: str, reserved: Collection[str]) -> str:
    spelled = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name))
    # A leading underscore means private, and two of them another name within a class.
    return _free(spelled if spelled[:1].isalpha() else f"f_{spelled}", reserved)


def _free(spelled: str, reserved: Collection[str]) -> str:
    # Characters of words that no identifier can have, and what another normalization would make something else of.
    normal = unicodedata.normalize("NFKC", spelled)
    if not normal.isidentifier():
        normal = "".join(letter if f"a{letter}".isidentifier() else "_" for letter in normal)
    if not normal.isidentifier() or unicodedata.normalize("NFKC", normal) != normal:
        normal = f"f_{_digest(spelled)}"
    return f"{normal}_" if keyword.iskeyword(normal) or normal in reserved else normal


def _told_apart(names: Iterable[str], spelled: dict[str, str]) -> dict[str, str]:
    # All of those that would share a name get another, so that a new one can't take over the name of an old one.
    count = Counter(spelled.values())
    found = {name: f"{spelled[name]}_{_digest(name)}" if count[spelled[name]] > 1 else spelled[name] for name in names}
    if len(set(found.values())) < len(found):
        raise CodegenError(f"names can't be told apart in Python: {', '.join(map(ascii, found))}; rename one")
    return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
