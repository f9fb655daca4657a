"""How long recent reads took, and so how long reads that follow one another will take; in seconds."""

from collections import deque
from math import sqrt
from statistics import median

_KEPT = 20
_LEAST_KNOWN = 8
# A lone caller waits for what is done in each read.
_READS_PER_LOOK = 4
# A server's first read, say: it is no sign of what the next ones take.
_CLIPPED_MEDIANS = 4
# Of a sum of reads, nine in ten take no longer than their mean and this many standard deviations.
_DEVIATIONS = 1.5
# The read under way and the call's own: a call that waits for no others is more likely to be in time than not.
_SURE = 2


class ServiceTimes:
    """The times of the last answered reads."""

    def __init__(self) -> None:
        """Create times of no reads."""
        self._took_s: deque[float] = deque(maxlen=_KEPT)
        self._added = 0
        self._deviation_s = 0.0
        self.usual_s = 0.0
        """How long a read usually takes; 0 until enough are known."""

    def add(self, took_s: float) -> None:
        """Add the time of a read that was answered."""
        self._took_s.append(took_s)
        self._added += 1
        if self._added >= _LEAST_KNOWN and self._added % _READS_PER_LOOK == 0:
            most_s = _CLIPPED_MEDIANS * median(self._took_s)
            took = [min(each, most_s) for each in self._took_s]
            self.usual_s = usual_s = sum(took) / len(took)
            # `statistics` would be exact, and take longer than the rest of a read's bookkeeping.
            self._deviation_s = sqrt(sum((each - usual_s) ** 2 for each in took) / len(took))

    def of_reads_s(self, count: float) -> float:
        """Return the time in which so many reads, one after another, will have ended; 0 until enough are known.

        Of more than two it is more than their mean time: calls that are admitted by the mean are late as soon as one
        read is, and under a lasting overload each of them waits for almost all of its time.
        """
        return count * self.usual_s + _DEVIATIONS * sqrt(max(0.0, count - _SURE)) * self._deviation_s
