"""One feature server among several, and what is known of it."""

import asyncio
from dataclasses import dataclass, field

from feature_gateway.errors import CREDENTIALS_REFUSED, DeadlineExceededError, GatewayError, RejectedUpstreamError
from feature_gateway.upstream.failure_log import FailureLog
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError

_TIMEOUTS_TO_SET_ASIDE = 3


@dataclass(eq=False)
class Replica:
    """A feature server, its load and its failures."""

    server: FeatureServer
    in_flight: int = 0
    reads: int = 0

    timeouts: int = 0
    """Reads in a row that ran out of time: a frozen server refuses nothing."""

    probe: asyncio.Task[None] | None = None
    """Set while it is set aside."""

    _faults: FailureLog = field(init=False)
    _callers_faults: FailureLog = field(init=False)
    """Apart, so that no caller's texts keep an outage out of the log."""

    def __post_init__(self) -> None:
        self._faults = FailureLog(self.server.url)
        self._callers_faults = FailureLog(self.server.url)

    @property
    def aside(self) -> bool:
        """Whether it is set aside."""
        return self.probe is not None

    def back_in_service(self) -> None:
        """Be set aside no longer."""
        probe, self.probe, self.timeouts = self.probe, None, 0
        if probe is not None and probe is not asyncio.current_task():
            probe.cancel()

    def answered(self) -> None:
        """Note a read that succeeded."""
        self.timeouts = 0
        self._faults.succeeded()
        self._callers_faults.succeeded()

    def failed(self, error: GatewayError) -> bool:
        """Note a read that failed, and log what is new; return whether the server is to be set aside for it."""
        if isinstance(error, (RejectedUpstreamError, *CREDENTIALS_REFUSED)):
            self._callers_faults.failed(_said(error))
            return False
        if isinstance(error, DeadlineExceededError):
            self.timeouts += 1
            if self.timeouts < _TIMEOUTS_TO_SET_ASIDE:
                # As likely the caller's haste as the server's fault.
                return False
        set_aside = isinstance(error, DeadlineExceededError | ServerUnreachableError)
        self._faults.failed(_said(error) + ("; set aside" if set_aside else ""))
        return set_aside


def _said(error: GatewayError) -> str:
    said, cause = error.message.rstrip("."), str(error.__cause__ or "")
    return f"{said} ({type(error.__cause__).__name__}: {cause})" if cause and cause not in said else said
