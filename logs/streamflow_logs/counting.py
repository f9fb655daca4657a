"""Writes what repeats once, and then how often it was repeated."""

import logging
import os
import threading
from copy import copy
from dataclasses import dataclass
from typing import Any

from streamflow_logs.event import Event

INTERVAL_S = 10.0
"""How long repetitions are counted before a line has their number."""

MAX_KINDS = 100
"""How many kinds are counted at a time; lines of further kinds are all written."""

COUNT = "repeated"
"""The attribute of a record that says how often it was repeated."""

_Kind = tuple[object, ...]


@dataclass
class _Repeated:
    record: logging.LogRecord
    timer: threading.Timer
    count: int = 0


class CountingHandler(logging.StreamHandler[Any]):
    """Writes the first line of a kind at once, and each INTERVAL_S one line with how many more there were.

    Only lines with a traceback and warnings of libraries are counted. The project's other lines are written when
    something changes, and would be wrong without one of them. Lines are of one kind if logger, level, text and the
    exceptions' type and place are the same.
    """

    def __init__(self, stream: Any, *, interval_s: float = INTERVAL_S) -> None:
        """Create a handler that writes to a stream."""
        super().__init__(stream)
        self._interval_s = interval_s
        self._repeated: dict[_Kind, _Repeated] = {}
        # A child process has no timers of its parent's.
        os.register_at_fork(after_in_child=self._repeated.clear)

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count a record."""
        kind = _kind_of(record)
        if kind is None:
            super().emit(record)
        elif (repeated := self._repeated.get(kind)) is not None:
            repeated.record = record
            repeated.count += 1
        else:
            super().emit(record)
            if len(self._repeated) < MAX_KINDS:
                self._repeated[kind] = _Repeated(record, self._started_timer(kind))

    def close(self) -> None:
        """Write what is counted."""
        with self._locked():
            for repeated in self._repeated.values():
                repeated.timer.cancel()
                self._write(repeated)
            self._repeated.clear()
        super().close()

    def _started_timer(self, kind: _Kind) -> threading.Timer:
        timer = threading.Timer(self._interval_s, self._end_interval, (kind,))
        timer.daemon = True
        timer.start()
        return timer

    def _end_interval(self, kind: _Kind) -> None:
        with self._locked():
            repeated = self._repeated.get(kind)
            if repeated is None:
                return
            if not repeated.count:
                del self._repeated[kind]
                return
            self._write(repeated)
            repeated.count, repeated.timer = 0, self._started_timer(kind)

    def _locked(self) -> Any:
        lock = self.lock
        assert lock is not None  # noqa: S101  # logging makes one for each handler
        return lock

    def _write(self, repeated: _Repeated) -> None:
        if repeated.count:
            record = copy(repeated.record)
            setattr(record, COUNT, repeated.count)
            super().emit(record)


def _kind_of(record: logging.LogRecord) -> _Kind | None:
    own, error = isinstance(record.msg, Event), record.exc_info[1] if record.exc_info else None
    if error is None and (own or record.levelno < logging.WARNING):
        return None
    place = error.__traceback__ if error is not None else None
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    raised = (place.tb_frame.f_code, place.tb_lineno) if place is not None else None
    # Of a library the template: what it puts in differs from line to line.
    text = str(record.msg) if own or error is None else type(error)
    return record.name, record.levelno, text, type(error), raised
