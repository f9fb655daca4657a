"""Bounds the requests that are sent in addition to ordinary ones."""

_DEFAULT_LIMIT = 10.0


class Budget:
    """Allows extra requests as a share of the ordinary ones, and a few at once."""

    def __init__(self, share: float, *, limit: float = _DEFAULT_LIMIT) -> None:
        """Create a full budget; `limit` is how many extra requests may be saved up."""
        self._share = share
        self._limit = limit
        self._tokens = limit

    def earn(self) -> None:
        """Count an ordinary request."""
        self._tokens = min(self._limit, self._tokens + self._share)

    def spend(self) -> bool:
        """Return whether an extra request may be sent, and count it."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
