"""The replicas that a target takes."""

import math
from dataclasses import dataclass

from streamflow_loadtests.capacity.costs import Costs
from streamflow_loadtests.capacity.queueing import Played, play

BUSY_LIMIT = 0.7
"""How busy a process may be at the target's rate: the rest is for bursts, a replica that ends, and growth."""

P99_ALLOWANCE = 3.5
"""How many times the model's 99th percentile calls may take: 3.2 were measured, with the load on the same cores."""

_STEPS = 14
_BITS_A_BYTE = 8


class UnreachableError(Exception):
    """No number of replicas reaches a target; the message says what is reached."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a target takes. A pair is a gateway and a feature server."""

    calls_per_s: float
    p99_ms: float

    calls_per_s_a_pair: float
    at_that: Played
    """What the calls of one pair meet with at that rate."""

    pairs: int
    """One of them to spare."""

    cores: float
    """Busy at the target's rate, without Redis."""

    memory_gb: float
    """Of all pairs."""

    store_primaries: int
    """Redis servers that share the users out among them, for their cores' sake; replicas come on top."""

    store_gb: float
    """For the users, of all primaries together."""

    replies_gbit_per_s: float


def plan(costs: Costs, *, calls_per_s: float, p99_ms: float, users: int) -> Plan:
    """Return what calls of one user at a rate take to be answered within a time. Raises UnreachableError."""
    each, played = per_pair(costs, p99_ms=p99_ms)
    pairs = math.ceil(calls_per_s / each) + 1
    return Plan(
        calls_per_s=calls_per_s,
        p99_ms=p99_ms,
        calls_per_s_a_pair=each,
        at_that=played,
        pairs=pairs,
        cores=calls_per_s / each * (played.gateway_cores + played.feature_server_cores),
        memory_gb=pairs * (costs.gateway_rss_mb + costs.feature_server_rss_mb) / 1000,
        store_primaries=max(1, math.ceil(calls_per_s * costs.store_user_s / BUSY_LIMIT)),
        store_gb=users * costs.store_user_bytes / 1e9,
        replies_gbit_per_s=calls_per_s * costs.reply_bytes * _BITS_A_BYTE / 1e9,
    )


def per_pair(costs: Costs, *, p99_ms: float) -> tuple[float, Played]:
    """Return the highest rate at which a pair keeps to a 99th percentile, and what calls meet with at it by the model.

    The model's percentile is to be the target's by P99_ALLOWANCE, and neither process busier than BUSY_LIMIT. Raises
    UnreachableError when there is no such rate.
    """
    low, high = 1.0, BUSY_LIMIT / costs.gateway_call_s
    found, limit_s = play(costs, low), p99_ms / 1000 / P99_ALLOWANCE
    if found.p99_s > limit_s:
        raise UnreachableError(
            f"a call takes {found.p99_s * 1000:.1f} ms (p99) with nothing else to do, and may take {P99_ALLOWANCE:g} "
            f"times as long: {p99_ms:g} ms can't be kept"
        )
    for _ in range(_STEPS):
        rate = (low + high) / 2
        played = play(costs, rate)
        busiest = max(played.gateway_cores, played.feature_server_cores)
        if played.p99_s <= limit_s and busiest <= BUSY_LIMIT:
            low, found = rate, played
        else:
            high = rate
    return low, found
