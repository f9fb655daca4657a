"""Things of which one can be picked by chance, all in O(1)."""

import random
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Bag(Generic[Key, Value]):
    """Keys with a value each."""

    def __init__(self) -> None:
        """Create an empty bag."""
        self._entries: list[tuple[Key, Value]] = []
        self._positions: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: Key, value: Value) -> None:
        """Add a key that is not in the bag."""
        self._positions[key] = len(self._entries)
        self._entries.append((key, value))

    def discard(self, key: Key) -> None:
        """Remove a key; without effect if it is not in the bag."""
        position = self._positions.pop(key, None)
        if position is None:
            return
        last = self._entries.pop()
        if position < len(self._entries):
            self._entries[position] = last
            self._positions[last[0]] = position

    def pick(self) -> Value:
        """Return the value of a key by chance; the bag must not be empty."""
        return random.choice(self._entries)[1]  # noqa: S311  # fairness, not secrecy
