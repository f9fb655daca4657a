"""Reads users' features without protobuf where their bytes have a known shape, and learns shapes.

The features of users differ in little but values and event timestamps. All other bytes are compared with those of a
shape, so what is different in any way is left to protobuf.
"""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.message import DecodeError
from streamflow.features.v1 import feature_pb2
from streamflow.features.v1.feature_pb2 import Feature

from streamflow_features._columns import Column
from streamflow_features._features import ServingInfo, UserFeatures, event_timestamps_of
from streamflow_features._shapes import Shape, shape_of
from streamflow_features._unfrozen import UnfrozenFeatures
from streamflow_features._varints import varint

# Of what is larger most is values, which protobuf reads as fast.
_MOST_BYTES = 4096
_MOST_SHAPES = 256
_MOST_OF_A_SIZE = 16
# To learn a shape costs as much as to read ten users with protobuf, so where shapes are too many to be remembered, the
# client learns less and less.
_LEAST_USERS_TO_LEARN, _MOST_USERS_TO_LEARN = 16, 1024

_USER_ID, _USER_FEATURES = 0x0A, b"\x12"
_SHORTEST, _MORE = 8, 0x80


class _Ahead(dict[int, bytes]):
    """What stands ahead of a UserFeatures in a UserResult, by the size of the features."""

    def __missing__(self, size: int) -> bytes:
        ahead = _USER_FEATURES + varint(size)
        if size <= _MOST_BYTES:
            self[size] = ahead
        return ahead


_AHEAD = _Ahead()


class KnownShapes:
    """The shapes of the features that were read of late. Threads can share it."""

    def __init__(self) -> None:
        """Creates it without shapes."""
        self._by_size: dict[int, tuple[Shape, ...]] = {}
        self._unknown = 0
        self._users_to_learn = _LEAST_USERS_TO_LEARN

    def read(
        self, result: bytes, contract_hash: str, serving_info: ServingInfo | None
    ) -> tuple[UserFeatures, Sequence[Feature]] | None:
        """Return the features of a serialized UserResult, and others of the same types. None: protobuf has to read."""
        user_id, features = _apart(result)
        shapes = self._by_size.get(len(features))
        if shapes is None:
            return None
        number = int.from_bytes(features, "little")
        for shape in shapes:
            if number & shape.mask == shape.common:
                try:
                    user, values = user_id.decode(), shape.values(features)
                except (UnicodeDecodeError, DecodeError, OverflowError):
                    # Protobuf reads it once more, and raises what every reader of such bytes gets.
                    return None
                stamps = Column(_event_timestamps, features)
                known = shape.user_known
                read = UnfrozenFeatures(user, values, shape.statuses, stamps, known, contract_hash, serving_info)
                return read, shape.features
        return None

    def learn(self, result: bytes, user: feature_pb2.UserFeatures) -> None:
        """Learn from the features of a result that `read` could not read."""
        _, features = _apart(result)
        if not 0 < len(features) <= _MOST_BYTES:
            return
        self._unknown += 1
        if self._unknown % self._users_to_learn != 1:
            return
        shape = shape_of(user, features)
        if shape is None:
            return
        if sum(map(len, self._by_size.values())) >= _MOST_SHAPES:
            self._by_size = {}
            self._users_to_learn = min(8 * self._users_to_learn, _MOST_USERS_TO_LEARN)
        self._by_size[len(features)] = (*self._by_size.get(len(features), ())[1 - _MOST_OF_A_SIZE :], shape)


def _apart(result: bytes) -> tuple[bytes, bytes]:
    """Return the user id and the rest of the features of a UserResult that has these alone; else no bytes."""
    if len(result) < _SHORTEST or result[0] != _USER_ID or result[1] >= _MORE:
        return b"", b""
    size = result[1] + 2
    start = size + 3 if len(result) - size > _MORE + 1 else size + 2
    # The user id is there twice.
    if result[size : start + size] != _AHEAD[len(result) - start] + result[:size]:
        return b"", b""
    return result[2:size], result[start + size :]


def _event_timestamps(features: bytes) -> dict[str, datetime | None]:
    return event_timestamps_of(feature_pb2.UserFeatures.FromString(features).features)
