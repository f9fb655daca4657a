"""One feature server of a pool: its load, its failures, and whether it is ejected."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import (
    CredentialsRefusedError,
    DeadlineExceededError,
    GatewayError,
    RejectedRowError,
    WrongValueError,
)
from feature_gateway.observer import FeatureServerState, Observer
from feature_gateway.reads import RowsRead
from feature_gateway.tracing.current import current_read
from feature_gateway.upstream.failure_log import FailureLog
from feature_gateway.upstream.feature_server import FeatureServer, ServerUnreachableError
from feature_gateway.upstream.read_times import ReadTimes

_TIMEOUTS_TO_EJECT = 3
_PROBE_TIMEOUT_S = 0.25
_FIRST_PROBE_S = 0.05
_LONGEST_PROBE_S = 0.5

FirstRead = Callable[[FeatureServer], Awaitable[object]]
"""Reads from a server that is alive again; raises GatewayError."""


class Replica:
    """Reads from one feature server, and ejects it while it does not answer.

    A server whose connection fails is ejected at once. A frozen server refuses nothing: a server is ejected for
    slowness when three reads in a row that had a fair time ran out of it, unless enough others are. An ejected server
    returns when a probe finds that it is alive and `first_read` is answered, or when it answers a caller's read.
    """

    def __init__(
        self,
        server: FeatureServer,
        *,
        first_read: FirstRead | None,
        observer: Observer,
        times: ReadTimes,
        may_eject_slow: Callable[[], bool],
        restored: Callable[[], object],
    ) -> None:
        """Create the replica of a server, in service and without load.

        It adds the times of its reads to `times`. `may_eject_slow` says whether one more may be ejected for slowness.
        `restored` is called when it returns to service.
        """
        self.server = server
        self.in_flight = 0
        self.slots_taken = 0
        """How many of its slots are in use; a retry or a hedge may take one more than there are."""

        self.latest_read_s = 0.0
        """When its latest read began, by the event loop's clock."""

        self.probe: asyncio.Task[None] | None = None
        """Set while the replica is ejected."""

        self.slow = False
        """Whether it is ejected for slowness."""

        self.ejections = 0
        """How many times it was ejected."""

        self._ended = dict.fromkeys(("answered", "failed", "given_up"), (0, 0.0))
        self._times = times
        self._may_eject_slow = may_eject_slow
        self._restored = restored
        self._first_read = first_read
        self._observer = observer
        self._timeouts = 0
        """Reads in a row that ran out of a fair time."""

        self._retired = False
        self._faults = FailureLog(server.url)

    @property
    def ejected(self) -> bool:
        """Whether other replicas are preferred."""
        return self.probe is not None

    @property
    def state(self) -> FeatureServerState:
        """What metrics say of it."""
        return FeatureServerState(self._ended, self.in_flight, ejected=self.ejected, ejections=self.ejections)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> RowsRead:
        """Return one row a key, in order; raise what FeatureServer raises."""
        was_ejected = self.ejected
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.in_flight += 1
        self.latest_read_s = started
        read = current_read.get()
        if read is not None:
            read.sent(self.server.url)
        try:
            rows = await self.server.read_rows(feature_set, keys, authorization=authorization, timeout_s=timeout_s)
        except GatewayError as error:
            error.feature_server = self.server.url
            self._note_end("failed", loop.time() - started)
            self._note_failure(error, timeout_s)
            raise
        except asyncio.CancelledError:
            self._note_end("given_up", loop.time() - started)
            raise
        finally:
            self.in_flight -= 1
        elapsed_s = loop.time() - started
        self._note_end("answered", elapsed_s)
        self._times.add(elapsed_s)
        self._timeouts = 0
        self._faults.succeeded()
        for row in rows:
            if isinstance(row, WrongValueError):
                row.feature_server = self.server.url
                self._faults.failed(_said(row))
        if was_ejected:
            self.restore()
        return rows

    def retire(self) -> None:
        """Probe the server no more; reads in flight continue."""
        self._retired = True
        if self.probe is not None:
            self.probe.cancel()

    async def close(self) -> None:
        """Retire, and wait until the probe has ended."""
        self.retire()
        if self.probe is not None:
            await asyncio.gather(self.probe, return_exceptions=True)

    def restore(self) -> None:
        """Return the replica to service; without effect if it is there."""
        probe, self.probe, self.slow, self._timeouts = self.probe, None, False, 0
        if probe is None:
            return
        if probe is not asyncio.current_task():
            probe.cancel()
        self._restored()

    def _note_end(self, outcome: str, elapsed_s: float) -> None:
        count, sum_s = self._ended[outcome]
        self._ended[outcome] = count + 1, sum_s + elapsed_s

    def _note_failure(self, error: GatewayError, timeout_s: float) -> None:
        """Log what is new, and eject the server if the failure is its own."""
        if isinstance(error, RejectedRowError | CredentialsRefusedError):
            self._faults.failed(_said(error))
            return
        too_slow = isinstance(error, DeadlineExceededError)
        if too_slow:
            if timeout_s < self._times.fair_s:
                # The caller's haste.
                return
            self._timeouts += 1
            if self._timeouts < _TIMEOUTS_TO_EJECT:
                return
        unreachable = isinstance(error, ServerUnreachableError)
        ejects = unreachable or (too_slow and (self.ejected or self._may_eject_slow()))
        self._faults.failed(_said(error) + ("; ejected" if ejects else ""))
        if ejects:
            self._eject(slow=not unreachable)

    def _eject(self, *, slow: bool) -> None:
        if self.ejected:
            # A server that refuses connections is not slow, whatever came first.
            self.slow = self.slow and slow
        elif not self._retired:
            self.slow = slow
            self.probe = asyncio.create_task(self._probe_until_well())
            self.ejections += 1
            self._observer.replica_ejected()

    async def _probe_until_well(self) -> None:
        """Ask the server whether it is alive and reads, less and less often, until it does."""
        pause_s = _FIRST_PROBE_S
        while True:
            await asyncio.sleep(pause_s)
            if await self.server.alive(timeout_s=_PROBE_TIMEOUT_S) and await self._answers_first_read():
                break
            pause_s = min(2 * pause_s, _LONGEST_PROBE_S)
        self.restore()

    async def _answers_first_read(self) -> bool:
        """Do the first read, and return whether it was answered; a failure that is not the server's is an answer."""
        if self._first_read is None:
            return True
        try:
            await self._first_read(self.server)
        except GatewayError as error:
            return not isinstance(error, DeadlineExceededError | ServerUnreachableError)
        return True


def _said(error: GatewayError) -> str:
    said, cause = error.message.rstrip("."), str(error.__cause__ or "")
    return f"{said} ({type(error.__cause__).__name__}: {cause})" if cause and cause not in said else said
