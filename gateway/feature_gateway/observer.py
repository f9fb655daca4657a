"""What the gateway's parts report about their work; whoever wants to know overrides the methods."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from grpc import StatusCode
from streamflow.features.v1.error_reason_pb2 import ErrorReason

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.values import Judgement

if TYPE_CHECKING:
    from feature_gateway.tracing.spans import CallSpan


class FeatureServerState(NamedTuple):
    """What the pool knows of a feature server."""

    reads: Mapping[str, tuple[int, float]]
    """How many reads ended, and how long they took together in seconds, by outcome: answered, failed, given_up."""

    in_flight: int
    ejected: bool
    ejections: int


class Observer:
    """Receives each event and ignores it; override the methods of interest.

    Methods run on the event loop, within the call: an override must neither block nor raise.
    """

    def call_ended(
        self,
        method: str,
        code: StatusCode,
        elapsed_s: float,
        *,
        reason: ErrorReason.ValueType | None = None,
        feature_server: str | None = None,
        span: "CallSpan | None" = None,
    ) -> None:
        """A call ended, with OK or not, `elapsed_s` after its request had been received.

        `reason` is None for OK, and for a call that ended without an error of ours: its caller left, for example.
        `feature_server` is the URL of the one that failed.
        `span` is None for a call that is not sampled.
        """

    def stream_failed(self, reason: ErrorReason.ValueType) -> None:
        """A stream as a whole ended with an error."""

    def rows_asked(self, feature_set: FeatureSet, count: int) -> None:
        """A call that has been checked asks for this many rows."""

    def call_refused(self) -> None:
        """A call was refused because too many wait, or because its deadline can't be met."""

    def queue_timed_out(self) -> None:
        """The time of a row ran out while it waited for a read to start."""

    def rows_answered(self, feature_set: FeatureSet, judgement: Judgement, count: int) -> None:
        """Some rows of one judgement were answered; its statuses are in the order of the feature set."""

    def stale_answered(self) -> None:
        """One row was answered from memory."""

    def read_started(self, *, rows: int, queue_s: Sequence[float]) -> None:
        """A read of distinct rows left the queue; `queue_s` has each of its calls' time there."""

    def read_ended(self, elapsed_s: float, *, answered: bool) -> None:
        """The feature servers answered a read or failed it, retries and hedging included."""

    def read_retried(self) -> None:
        """A failed read was sent to a second feature server."""

    def read_hedged(self) -> None:
        """A slow read was sent to a second feature server too."""

    def replica_ejected(self) -> None:
        """A feature server was ejected."""

    def loop_lagged(self, lag_s: float) -> None:
        """A timer of the event loop ran `lag_s` later than asked."""
