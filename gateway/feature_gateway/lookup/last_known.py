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
from feature_gateway.values import Judgement, Row

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

    A row is kept for the feature set, the caller and the key that it was read for, and returned for no other. Feature
    sets are compared by identity, so those of a new contract are others, whatever their features. Of a caller's key
    only a digest is kept. In keys of rows a number stands for it: once the number is dropped, no row of it is returned.
    """

    def __init__(self, *, max_age_s: float, max_rows: int, max_bytes: int, now_s: Callable[[], float]) -> None:
        """Create a store of rows up to `max_age_s` old; `max_rows` is from 1, and `now_s` must never go back."""
        self._max_age_s = max_age_s
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._bytes = 0
        self._now_s = now_s
        self._rows: OrderedDict[bytes, tuple[float, bytes, bytes]] = OrderedDict()
        """Times of reads, values and judgements, in the order of the reads. Rows share the bytes of a judgement."""
        # Not their ids: Python reuses the id of an object that is gone.
        self._numbers: WeakKeyDictionary[FeatureSet, bytes] = WeakKeyDictionary()
        self._callers: OrderedDict[bytes, bytes] = OrderedDict()
        """Numbers of callers, by the digests of their keys, in the order of the last reads."""
        self._next_number = count()

    def __len__(self) -> int:
        return len(self._rows)

    def remember(self, feature_set: FeatureSet, key: RowKey, row: Row, *, caller_key: str) -> None:
        """Keep a row that has just been read; it replaces the earlier row of the same key."""
        now_s = self._now_s()
        digest = _digest(caller_key)
        caller = self._callers[digest] = self._callers.get(digest) or self._new_number()
        self._callers.move_to_end(digest)
        if len(self._callers) > self._max_rows:
            # Each caller that had a read later has a row that is newer than all rows of this one.
            self._callers.popitem(last=False)
        kept_as = self._key(feature_set, caller, key)
        before = self._rows.pop(kept_as, None)
        if before is not None:
            self._bytes -= _taken_bytes(kept_as, before)
        kept = self._rows[kept_as] = now_s, marshal.dumps(row.values), row.judgement.packed
        self._bytes += _taken_bytes(kept_as, kept)
        for _ in range(_MAX_FORGOTTEN_AT_ONCE):
            read_s, _, _ = next(iter(self._rows.values()))
            if len(self._rows) <= self._max_rows and now_s - read_s <= self._max_age_s:
                break
            self._drop_oldest()
        # As many as a large row needs.
        while self._bytes > self._max_bytes:
            self._drop_oldest()

    def recall(self, feature_set: FeatureSet, key: RowKey, *, caller_key: str) -> RememberedRow | None:
        """Return the row that was read last for this key; None if there is none or it is too old."""
        caller = self._callers.get(_digest(caller_key))
        known = self._rows.get(self._key(feature_set, caller, key)) if caller else None
        if known is None:
            return None
        read_s, values, judgement = known
        age_s = self._now_s() - read_s
        if age_s > self._max_age_s:
            return None
        # The process's own bytes.
        return RememberedRow(Row(marshal.loads(values), Judgement.unpacked(judgement)), age_s)  # noqa: S302

    def forget(self, *, caller_key: str) -> None:
        """Return no row again that was read for this caller until now; the rows make room as others do."""
        self._callers.pop(_digest(caller_key), None)

    def _drop_oldest(self) -> None:
        self._bytes -= _taken_bytes(*self._rows.popitem(last=False))

    def _key(self, feature_set: FeatureSet, caller: bytes, key: RowKey) -> bytes:
        number = self._numbers.get(feature_set)
        if number is None:
            number = self._numbers[feature_set] = self._new_number()
        # Only the last part has a variable length, and is the literal of its values, so different keys are never equal.
        return number + caller + repr(key).encode()

    def _new_number(self) -> bytes:
        return next(self._next_number).to_bytes(_NUMBER_BYTES, "big")


def _digest(caller_key: str) -> bytes:
    return blake2b(_bytes(caller_key), digest_size=_DIGEST_BYTES).digest()


def _taken_bytes(kept_as: bytes, kept: tuple[float, bytes, bytes]) -> int:
    _, values, judgement = kept
    return len(kept_as) + len(values) + len(judgement) + _OVERHEAD_BYTES


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
