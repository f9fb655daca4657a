"""What happened between two samples: rates and quantiles; pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feature_gateway.metrics import SECONDS
from feature_gateway.pages.sample import Sample
from feature_gateway.totals import Totals

RATE_S, QUANTILE_S = 5.0, 10.0
"""Over how long rates and quantiles of a moment are taken."""

LEAST_MS = 1000 * SECONDS[0]
"""Durations below are not told from each other."""

_Count = Callable[[Totals], int]
_Counts = Callable[[Totals], Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is drawn of one moment; None where there was nothing to measure."""

    at_s: float
    calls_per_s: float | None
    errors_per_s: float | None
    call_p50_ms: float | None
    call_p99_ms: float | None
    queue_p99_ms: float | None
    read_p99_ms: float | None
    lag_p99_ms: float | None


def moment_of(samples: Sequence[Sample]) -> Moment:
    """Return the moment of the newest of some samples."""
    return Moment(
        at_s=samples[-1].at_s,
        calls_per_s=_rate(samples, lambda totals: sum(totals.calls)),
        errors_per_s=_rate(samples, lambda totals: sum(totals.errors.values())),
        call_p50_ms=_quantile_ms(samples, lambda totals: totals.calls, 0.5),
        call_p99_ms=_quantile_ms(samples, lambda totals: totals.calls, 0.99),
        queue_p99_ms=_quantile_ms(samples, lambda totals: totals.queue, 0.99),
        read_p99_ms=_quantile_ms(samples, lambda totals: totals.reads, 0.99),
        lag_p99_ms=_quantile_ms(samples, lambda totals: totals.lag, 0.99),
    )


def before(samples: Sequence[Sample], window_s: float) -> Sample:
    """Return the latest sample that is a window older than the newest, give or take half a second, or the oldest."""
    latest_s = samples[-1].at_s - window_s + 0.5
    return next((sample for sample in reversed(samples) if sample.at_s <= latest_s), samples[0])


def quantile_s(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """Return a quantile of durations by bound, in seconds: a straight line within a bound, as Prometheus has it.

    None if there are none. Above the highest bound it is that bound.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    below = 0
    for at, count in enumerate(counts[:-1]):
        if below + count >= wanted:
            lower = bounds[at - 1] if at else 0.0
            return lower + (bounds[at] - lower) * (wanted - below) / count
        below += count
    return bounds[-1]


def _rate(samples: Sequence[Sample], count: _Count) -> float | None:
    now, then = samples[-1], before(samples, RATE_S)
    elapsed_s = now.at_s - then.at_s
    return (count(now.totals) - count(then.totals)) / elapsed_s if elapsed_s > 0 else None


def _quantile_ms(samples: Sequence[Sample], counts: _Counts, share: float) -> float | None:
    now, then = counts(samples[-1].totals), counts(before(samples, QUANTILE_S).totals)
    found_s = quantile_s([late - early for late, early in zip(now, then, strict=True)], SECONDS, share)
    return None if found_s is None else 1000 * found_s
