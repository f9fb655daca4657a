"""Makes a value on its first use."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Made = TypeVar("_Made")


class Once(Generic[_Made]):
    """A value that the first thread to ask for it makes."""

    def __init__(self, make: Callable[[], _Made]) -> None:
        """Keeps `make` for the first use."""
        self._make = make
        self._lock = threading.Lock()
        self.made: _Made | None = None
        """The value. None before its first use."""

    def __call__(self) -> _Made:
        """Return the value."""
        if self.made is None:
            with self._lock:
                if self.made is None:
                    self.made = self._make()
        return self.made
