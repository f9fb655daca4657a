"""The file of tokens: a line for each, with the name of its identity, its hash, and the day it was made.

A token has 256 random bits, so a plain SHA-256 hides it. Several lines may have one name. All of their tokens are
valid, so that a token can be replaced without a refused call.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from feature_gateway.access.identity import Identity
from feature_gateway.access.refusals import CredentialsError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")
"""What a name looks like."""

_LINE = re.compile(r"(?P<name>\S+)\s+sha256:(?P<digest>[0-9a-f]{64})(?:\s+(?P<made>\d{4}-\d{2}-\d{2}))?")
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class TokenLine:
    """A line of the file."""

    name: str
    digest: bytes
    made: str = ""
    """The day it was made; empty if that is not known."""

    def __str__(self) -> str:
        return f"{self.name} sha256:{self.digest.hex()} {self.made}".rstrip()


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(token: str) -> bytes:
    """Return the hash that stands for a token."""
    return sha256(token.encode(errors="surrogatepass")).digest()


def lines_of(content: bytes) -> list[TokenLine]:
    """Return the tokens of a file's content; raise ValueError, which quotes nothing, for one that can't be used."""
    return [line for _, line in texts_and_lines_of(content) if line is not None]


def texts_and_lines_of(content: bytes) -> list[tuple[str, TokenLine | None]]:
    """Return each line's text, and what it says: None for a comment, which begins with #, and for an empty line."""
    return [(text, _line(text, number)) for number, text in enumerate(content.decode().splitlines(), start=1)]


def _line(text: str, number: int) -> TokenLine | None:
    if not text.strip() or text.lstrip().startswith("#"):
        return None
    found = _LINE.fullmatch(text.strip())
    if found is None or not NAME.fullmatch(found["name"]):
        raise ValueError(f"line {number} is not of the form: NAME sha256:HASH DAY")
    return TokenLine(found["name"], bytes.fromhex(found["digest"]), found["made"] or "")


class Tokens:
    """Finds whose token it is."""

    def __init__(self, lines: Sequence[TokenLine]) -> None:
        """Create it from the lines of a file."""
        self._lines = lines

    def identity(self, token: str) -> Identity:
        """Return whose token it is; raise CredentialsError. It takes as long whichever line is the token's."""
        digest, name = digest_of(token), ""
        for line in self._lines:
            if hmac.compare_digest(line.digest, digest):
                name = line.name
        if not name:
            raise CredentialsError("the token is not in the file")
        return Identity(f"token:{name}")


def tokens_of(content: bytes) -> Tokens:
    """Return what finds the tokens of a file's content; raise ValueError."""
    return Tokens(lines_of(content))
