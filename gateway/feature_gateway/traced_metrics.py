"""Metrics that also tell the spans of sampled calls what becomes of them."""

from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.metrics import Metrics
from feature_gateway.tracing.current import current_call, current_read


class TracedMetrics(Metrics):
    """Counts events, and notes them on the spans of the call and the read that they are of."""

    def rows_asked(self, feature_set: FeatureSet, count: int) -> None:
        """Note what a call asks."""
        call = current_call.get()
        if call is not None:
            call.asked(feature_set.name, count)

    def call_refused(self) -> None:
        """Count a refusal."""
        super().call_refused()
        _note("shed")

    def stale_answered(self) -> None:
        """Count an answer from memory."""
        super().stale_answered()
        _note("stale")

    def read_retried(self) -> None:
        """Count a retry."""
        super().read_retried()
        _note_read("retried")

    def read_hedged(self) -> None:
        """Count a hedge."""
        super().read_hedged()
        _note_read("hedged")


def _note(outcome: str) -> None:
    call = current_call.get()
    if call is not None:
        call.note(outcome)


def _note_read(outcome: str) -> None:
    read = current_read.get()
    if read is not None:
        read.note(outcome)
