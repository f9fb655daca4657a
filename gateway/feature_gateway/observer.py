"""What the gateway's parts report about their work; whoever wants to know overrides the methods."""

from collections.abc import Sequence

from grpc import StatusCode

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.values import FeatureStatus


class Observer:
    """Receives each event and ignores it; override the methods of interest.

    Methods run on the event loop, within the call: an override must neither block nor raise.
    """

    def call_ended(self, method: str, code: StatusCode, elapsed_s: float) -> None:
        """A call ended, with OK or not, `elapsed_s` after its request had been received."""

    def call_refused(self) -> None:
        """A call was refused because too many wait, or because its deadline can't be met."""

    def row_answered(self, feature_set: FeatureSet, statuses: tuple[FeatureStatus, ...]) -> None:
        """One row was answered; the statuses are in the order of the feature set."""

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
