"""Redis keys of users, encoded as Feast encodes them; needs neither Feast nor the other modules of this package."""

import re
import struct
from collections.abc import Iterator
from typing import Any

_STRING = 2
"""Feast's ValueType.STRING."""

_SCAN_COUNT = 2000
_GLOB_CHARACTER = re.compile(rb"([*?\[\]\\])")
_LENGTH = struct.Struct("<I")


class UserKeys:
    """The keys of the users of one project, or of every project.

    A key is Feast's entity key (entity_key_serialization_version 3), which ends in the user id, then the project.
    """

    def __init__(self, *, join_key: str, project: str | None = None) -> None:
        """Creates the keys of the users of a project; without one, keys of every project are read and none is made."""
        name = join_key.encode()
        self._prefix = struct.pack("<III", 1, _STRING, len(name)) + name + _LENGTH.pack(_STRING)
        self._project = None if project is None else project.encode()

    def key(self, user_id: str) -> bytes:
        """Return the key of a user. Raises ValueError without a project."""
        if self._project is None:
            raise ValueError("the key of a user ends in the project; create UserKeys with one")
        text = user_id.encode()
        return self._prefix + _LENGTH.pack(len(text)) + text + self._project

    def user_id(self, key: bytes) -> str | None:
        """Return the user of a key; None if the key is not a user's of the project, or the id is not text."""
        start = len(self._prefix) + _LENGTH.size
        if not key.startswith(self._prefix) or len(key) < start:
            return None
        end = start + _LENGTH.unpack_from(key, len(self._prefix))[0]
        if end > len(key) or (self._project is not None and key[end:] != self._project):
            return None
        try:
            user_id = key[start:end].decode()
        except UnicodeDecodeError:
            return None
        # PostgreSQL can't store a NUL.
        return None if "\0" in user_id else user_id

    def scan(self, client: Any) -> Iterator[tuple[str, bytes]]:
        """Yield the id and key of each user in Redis; a user may come twice. Raises redis.RedisError."""
        parts = (self._prefix, self._project or b"")
        pattern = b"*".join(_GLOB_CHARACTER.sub(rb"\\\1", part) for part in parts)
        for key in client.scan_iter(match=pattern, count=_SCAN_COUNT):
            user_id = self.user_id(key)
            if user_id is not None:
                yield user_id, key
