"""The open loop's schedule: when a user's calls are due."""


class Schedule:
    """One user's calls: at even distances from a first moment, whatever becomes of them."""

    def __init__(self, *, calls_per_s: float, now_s: float, phase: float) -> None:
        """Begin within one distance from `now_s`: at `phase`, 0 to 1, of it. Any clock will do, in seconds."""
        self._distance_s = 1 / calls_per_s
        self._first_s = now_s + phase * self._distance_s
        self._given = 0

    @property
    def next_s(self) -> float:
        """When the next call is due."""
        # From the first one, so that no error adds up.
        return self._first_s + self._given * self._distance_s

    def take(self) -> float:
        """Return when the next call is due, and go on to the one after it."""
        due_s = self.next_s
        self._given += 1
        return due_s

    def missed(self, now_s: float) -> int:
        """Return how many calls are due that were not taken."""
        return max(int((now_s - self.next_s) / self._distance_s) + 1, 0) if now_s >= self.next_s else 0
