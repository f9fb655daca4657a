"""How much an identity may still ask: two buckets that fill by the second; pure."""

from collections.abc import Callable

from feature_gateway.access.refusals import rate_limited

# Less is what adding many small parts loses.
_ROUNDING = 1e-9


class _Bucket:
    """Holds what is left of a rate: at most a second's worth, and less than nothing after a large call."""

    __slots__ = ("_filled_s", "_left", "_most", "_per_s")

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._most = self._left = max(1.0, per_s)
        self._filled_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return how long it takes until something is left; 0 for now."""
        self._left = min(self._most, self._left + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        missing = 1.0 - self._left
        return missing / self._per_s if missing > _ROUNDING else 0.0

    def take(self, count: int) -> None:
        self._left -= count


class Budget:
    """The calls and users of one identity, at this gateway.

    A call is let in if something is left, however many users it has; what it takes beyond that is owed. Otherwise a
    batch larger than a second's worth could never be asked for.
    """

    def __init__(self, *, calls_per_s: float | None, users_per_s: float | None, now_s: Callable[[], float]) -> None:
        """Create a full budget; None is without a limit. `now_s` must never go back."""
        started_s = now_s()
        self._now_s = now_s
        self._calls = None if calls_per_s is None else _Bucket(calls_per_s, started_s)
        self._users = None if users_per_s is None else _Bucket(users_per_s, started_s)

    def spend(self, users: int) -> None:
        """Take a call for some users; raise GatewayError (RATE_LIMITED), with nothing taken, if too many were asked."""
        now_s, wait_s = self._now_s(), 0.0
        if self._calls is not None:
            wait_s = self._calls.wait_s(now_s)
        if self._users is not None and users:
            wait_s = max(wait_s, self._users.wait_s(now_s))
        if wait_s:
            raise rate_limited(wait_s)
        if self._calls is not None:
            self._calls.take(1)
        if self._users is not None:
            self._users.take(users)
