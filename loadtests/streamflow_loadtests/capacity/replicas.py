"""The replicas that a rate needs, by utilization. No rate above a measured one is assumed."""

import math
from dataclasses import dataclass

from streamflow_loadtests.capacity.costs import Measured, Point

BUSY_LIMIT = 0.7
"""How busy a process may be at the target's rate. The rest is for bursts, a replica that ends, and growth."""

_BITS_A_BYTE = 8


class UnreachableError(Exception):
    """No measured rate keeps to a target; the message says what was measured."""


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """What a rate takes. A pair is a gateway and a feature server."""

    calls_per_s: float

    pair: Point
    """The measured rate of one pair, and what calls met at that rate."""

    pairs: int
    """One of them to spare."""

    cores: float
    """Busy at the target's rate, without Redis."""

    memory_gb: float
    """Of all pairs."""

    store_primaries: int
    """Redis servers that share the users among their cores; replicas come on top."""

    store_gb: float
    """For the users, of all primaries together."""

    replies_gbit_per_s: float


def replicas(measured: Measured, *, calls_per_s: float, p99_ms: float, users: int) -> Replicas:
    """Return what calls of one user at a rate take. Raises UnreachableError."""
    pair, costs = per_pair(measured.points, p99_ms=p99_ms), measured.costs
    needed = calls_per_s / pair.calls_per_s
    pairs = math.ceil(needed) + 1
    return Replicas(
        calls_per_s=calls_per_s,
        pair=pair,
        pairs=pairs,
        cores=needed * (pair.gateway_cores + pair.feature_server_cores),
        memory_gb=pairs * (costs.gateway_rss_mb + costs.feature_server_rss_mb) / 1000,
        store_primaries=max(1, math.ceil(calls_per_s * costs.store_user_s / BUSY_LIMIT)),
        store_gb=users * costs.store_user_bytes / 1e9,
        replies_gbit_per_s=calls_per_s * costs.reply_bytes * _BITS_A_BYTE / 1e9,
    )


def per_pair(points: tuple[Point, ...], *, p99_ms: float) -> Point:
    """Return the highest measured rate at which a pair kept to a 99th percentile with both processes at BUSY_LIMIT.

    A void measurement does not count. Raises UnreachableError when no rate did.
    """
    kept = [
        point for point in points if not point.void and point.busiest <= BUSY_LIMIT and point.p99_s * 1000 <= p99_ms
    ]
    if not kept:
        told = "; ".join(
            f"{point.calls_per_s:,.0f} calls/s: p99 {point.p99_s * 1000:.1f} ms, {point.busiest:.0%} of a core"
            + (", void" if point.void else "")
            for point in points
        )
        raise UnreachableError(
            f"{p99_ms:g} ms can't be kept (p99) at any rate that was measured, with no process busier than "
            f"{BUSY_LIMIT:.0%}: {told}"
        )
    return max(kept, key=lambda point: point.calls_per_s)
