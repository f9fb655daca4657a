"""Logs calls that fail: the first of a kind at once, and then how many more there were, not each of them."""

import asyncio
import logging
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple

from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason
from streamflow_logs import Event

from feature_gateway.errors import name_of

_log = logging.getLogger(__name__)

INTERVAL_S = 10.0
"""How long failures of a kind are counted before a line has their number."""

# What a caller can correct, or has decided. An operator looks for the others.
_OF_CALLERS = frozenset(
    {
        StatusCode.CANCELLED,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
    }
)
_OF_THE_GATEWAY = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN})


class _Kind(NamedTuple):
    method: str
    code: StatusCode
    reason: ErrorReason.ValueType | None
    feature_server: str | None


@dataclass
class _Counted:
    timer: asyncio.TimerHandle
    count: int = 0


class FailedCalls:
    """Logs the first failure of a kind, and each INTERVAL_S how many more there were; belongs to one event loop.

    A kind is a method, a code, a reason and a feature server, so there are few. No line has a key or a value.
    """

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        """Create it; `interval_s` is how long failures are counted for a line."""
        self._interval_s = interval_s
        self._kinds: dict[_Kind, _Counted] = {}

    @property
    def counted_kinds(self) -> int:
        """How many kinds are counted now."""
        return len(self._kinds)

    def failed(
        self,
        method: str,
        code: StatusCode,
        reason: ErrorReason.ValueType | None,
        feature_server: str | None,
    ) -> None:
        """Log or count a call that ended with an error."""
        kind = _Kind(method, code, reason, feature_server)
        counted = self._kinds.get(kind)
        if counted is None:
            _tell(kind, 1)
            self._kinds[kind] = _Counted(self._timer(kind))
        else:
            counted.count += 1

    def close(self) -> None:
        """Log what is counted, and count no more."""
        for kind, counted in self._kinds.items():
            counted.timer.cancel()
            if counted.count:
                _tell(kind, counted.count)
        self._kinds.clear()

    def _timer(self, kind: _Kind) -> asyncio.TimerHandle:
        # An empty context: a line of many calls is of no one's trace.
        loop = asyncio.get_running_loop()
        return loop.call_later(self._interval_s, self._end_interval, kind, context=Context())

    def _end_interval(self, kind: _Kind) -> None:
        counted = self._kinds[kind]
        if not counted.count:
            del self._kinds[kind]
            return
        _tell(kind, counted.count)
        counted.count, counted.timer = 0, self._timer(kind)


def _tell(kind: _Kind, count: int) -> None:
    if kind.code in _OF_CALLERS:
        level = logging.INFO
    else:
        level = logging.ERROR if kind.code in _OF_THE_GATEWAY else logging.WARNING
    reason = kind.code.name if kind.reason is None else name_of(kind.reason)
    _log.log(
        level,
        Event(
            "call failed",
            reason=reason,
            method=kind.method,
            code=kind.code.name,
            feature_server=kind.feature_server,
            count=count,
        ),
    )
