"""Under which keys Feast keeps users in Redis."""

import re
import struct
from collections.abc import Iterator

import redis

_SCAN_COUNT = 2000
_GLOB_CHARACTER = re.compile(rb"([*?\[\]\\])")
_LENGTH_BYTES = 4


class UserKeys:
    """The Redis keys of a project's users: Feast's serialized entity key, which ends in the id, then the project."""

    def __init__(self, *, project: str, join_key: str) -> None:
        # Feast takes seconds to import.
        from feast.infra.online_stores.helpers import _redis_key  # noqa: PLC0415
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415
        from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415

        self._suffix = project.encode()
        without_id = _redis_key(project, EntityKey(join_keys=[join_key], entity_values=[Value(string_val="")]))
        self._prefix = without_id.removesuffix(self._suffix)[:-_LENGTH_BYTES]

    def key(self, user_id: str) -> bytes:
        """Return a user's key."""
        text = user_id.encode()
        return self._prefix + struct.pack("<I", len(text)) + text + self._suffix

    def user_id(self, key: bytes) -> str | None:
        """Return whose key it is; None for a key that is no user's of this project, or whose id is no text."""
        if not key.startswith(self._prefix):
            return None
        try:
            user_id = key[len(self._prefix) + _LENGTH_BYTES : len(key) - len(self._suffix)].decode()
        except UnicodeDecodeError:
            return None
        return user_id if self.key(user_id) == key and "\0" not in user_id else None

    def scan(self, client: redis.Redis) -> Iterator[tuple[str, bytes]]:
        """Yield the ids and keys of the users whom Redis has, some perhaps twice. Raises redis.RedisError."""
        pattern = b"*".join(_GLOB_CHARACTER.sub(rb"\\\1", part) for part in (self._prefix, self._suffix))
        for key in client.scan_iter(match=pattern, count=_SCAN_COUNT):
            user_id = self.user_id(key)
            if user_id is not None:
                yield user_id, key
