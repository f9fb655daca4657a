"""Remembers the rows that were read last; pure.

Rows and their keys are kept as bytes. As objects, 100,000 rows took twice the memory, and the garbage collector's look
through them delayed every call by 150 ms; as bytes it is 5 ms.
"""

import marshal
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from weakref import WeakKeyDictionary

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.values import FeatureStatus, Row

# At least two, so that old rows become fewer; few, so that no call pays for all that aged during a long outage.
_MAX_FORGOTTEN_AT_ONCE = 2
# What Python takes for a row beside the bytes of the row and of its key.
_OVERHEAD_BYTES = 300
_NUMBER_BYTES = 8
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class RememberedRow:
    """A row, and how long ago it was read."""

    row: Row
    age_s: float


class LastKnown:
    """A store of rows, bounded in number and bytes; the rows read longest ago make room.

    A row is kept for the feature set, the Authorization header and the key that it was read for, and returned for no
    other. Feature sets are told apart by identity, so those of a new contract are others, whatever their features. Of a
    header only a digest is kept. In keys a number stands for it: once the number is dropped, no row of it is returned.
    """

    def __init__(self, *, max_age_s: float, max_rows: int, max_bytes: int, now_s: Callable[[], float]) -> None:
        """Create a store of rows up to `max_age_s` old; `max_rows` is from 1, and `now_s` must never go back."""
        self._max_age_s = max_age_s
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._bytes = 0
        self._now_s = now_s
        self._rows: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        """Times of reads and rows, in the order of the reads."""
        # Not their ids: Python reuses the id of an object that is gone.
        self._numbers: WeakKeyDictionary[FeatureSet, bytes] = WeakKeyDictionary()
        self._headers: OrderedDict[bytes, bytes] = OrderedDict()
        """Numbers of headers, by their digests, in the order of the last reads."""
        self._next_number = count()

    def __len__(self) -> int:
        return len(self._rows)

    def remember(self, feature_set: FeatureSet, key: RowKey, row: Row, *, authorization: str) -> None:
        """Keep a row that has just been read; it replaces the earlier row of the same key."""
        now_s = self._now_s()
        digest = _digest(authorization)
        header = self._headers[digest] = self._headers.get(digest) or self._new_number()
        self._headers.move_to_end(digest)
        if len(self._headers) > self._max_rows:
            # Each header that was read with later has a row that is newer than all rows of this one.
            self._headers.popitem(last=False)
        kept_as = self._key(feature_set, header, key)
        before = self._rows.pop(kept_as, None)
        if before is not None:
            self._bytes -= _taken_bytes(kept_as, before[1])
        packed = _packed(row)
        self._rows[kept_as] = now_s, packed
        self._bytes += _taken_bytes(kept_as, packed)
        for _ in range(_MAX_FORGOTTEN_AT_ONCE):
            read_s, _ = next(iter(self._rows.values()))
            if len(self._rows) <= self._max_rows and now_s - read_s <= self._max_age_s:
                break
            self._drop_oldest()
        # As many as a large row needs.
        while self._bytes > self._max_bytes:
            self._drop_oldest()

    def recall(self, feature_set: FeatureSet, key: RowKey, *, authorization: str) -> RememberedRow | None:
        """Return the row that was read last for this key; None if there is none or it is too old."""
        header = self._headers.get(_digest(authorization))
        known = self._rows.get(self._key(feature_set, header, key)) if header else None
        if known is None:
            return None
        read_s, packed = known
        age_s = self._now_s() - read_s
        return RememberedRow(_unpacked(packed), age_s) if age_s <= self._max_age_s else None

    def forget(self, *, authorization: str) -> None:
        """Return no row again that was read with this header until now; the rows make room as others do."""
        self._headers.pop(_digest(authorization), None)

    def _drop_oldest(self) -> None:
        kept_as, (_, packed) = self._rows.popitem(last=False)
        self._bytes -= _taken_bytes(kept_as, packed)

    def _key(self, feature_set: FeatureSet, header: bytes, key: RowKey) -> bytes:
        number = self._numbers.get(feature_set)
        if number is None:
            number = self._numbers[feature_set] = self._new_number()
        # Only the last part has a variable length, and is the literal of its values, so different keys are never equal.
        return number + header + repr(key).encode()

    def _new_number(self) -> bytes:
        return next(self._next_number).to_bytes(_NUMBER_BYTES, "big")


def _digest(authorization: str) -> bytes:
    return blake2b(_bytes(authorization), digest_size=_DIGEST_BYTES).digest()


def _taken_bytes(kept_as: bytes, packed: bytes) -> int:
    return len(kept_as) + len(packed) + _OVERHEAD_BYTES


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _packed(row: Row) -> bytes:
    return marshal.dumps((row.values, bytes(row.statuses), row.event_timestamps_ns, row.known))


def _unpacked(packed: bytes) -> Row:
    values, statuses, stamps_ns, known = marshal.loads(packed)  # noqa: S302  # the process's own bytes
    return Row(values, tuple(map(FeatureStatus, statuses)), stamps_ns, known)
