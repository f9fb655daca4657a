"""What had been counted at one moment; pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from feature_gateway.observer import FeatureServerState
from feature_gateway.totals import Totals


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The reads of a feature server since the start."""

    answered: int = 0
    answered_s: float = 0.0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What had been counted."""

    at_s: float
    """The moment, by a clock that only goes on."""

    totals: Totals
    reads: Mapping[str, Reads]
    """By the URL of the feature server."""


def sample_of(totals: Totals, servers: Mapping[str, FeatureServerState], *, at_s: float) -> Sample:
    """Return the sample of a moment. What the pool knows of a feature server goes on changing, and is copied."""
    return Sample(at_s=at_s, totals=totals, reads={url: _reads(state) for url, state in servers.items()})


def _reads(state: FeatureServerState) -> Reads:
    answered, answered_s = state.reads["answered"]
    return Reads(answered=answered, answered_s=answered_s, failed=state.reads["failed"][0])
