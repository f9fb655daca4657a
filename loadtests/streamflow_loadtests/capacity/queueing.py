"""A gateway and its feature server as a queue, played through with calls that come at random."""

import heapq
import random
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from streamflow_loadtests.capacity.costs import MAX_BATCH_SIZE, Costs
from streamflow_loadtests.measuring.percentile import percentile

# A call's request and its reply take about as long in the gateway.
_BEFORE_READ = 0.5
_WARM_UP_SHARE = 0.1


class _Event(IntEnum):
    ARRIVED = 0
    """At the gateway."""

    READY = 1
    """To be read."""

    READ = 2
    """By the feature server."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """What calls of one user met with."""

    p50_s: float
    p99_s: float

    users_a_read: float
    gateway_cores: float
    """Busy, of the gateway's one."""

    feature_server_cores: float
    """Busy, of the feature server's one."""


def play(costs: Costs, calls_per_s: float, *, calls: int = 8_000, seed: int = 0) -> Played:
    """Return what becomes of calls at a rate, at random times, before a gateway and one feature server of their own.

    The rate is to be less than either can do, or the answer is that of a queue that has only begun to grow.
    """
    drawn = random.Random(seed)  # noqa: S311  # repeatable draws, not secrets
    began_s: list[float] = []
    now_s = 0.0
    for _ in range(calls):
        now_s += drawn.expovariate(calls_per_s)
        began_s.append(now_s)
    events = [(at, _Event.ARRIVED, call, [call]) for call, at in enumerate(began_s)]
    waiting: deque[int] = deque()
    elapsed_s = [0.0] * calls
    core_free_s, reading, reads = 0.0, False, 0

    def on_core(at_s: float, cost_s: float) -> float:
        nonlocal core_free_s
        core_free_s = max(core_free_s, at_s) + cost_s
        return core_free_s

    while events:
        at_s, kind, number, members = heapq.heappop(events)
        if kind == _Event.ARRIVED:
            ready_s = on_core(at_s, costs.gateway_call_s * _BEFORE_READ)
            heapq.heappush(events, (ready_s, _Event.READY, number, members))
            continue
        if kind == _Event.READY:
            waiting.extend(members)
        else:
            reading = False
            # The next read leaves before the replies of this one are made.
        if waiting and not reading:
            batch = [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH_SIZE))]
            sent_s = on_core(at_s, costs.gateway_read_s)
            reads, reading = reads + 1, True
            heapq.heappush(events, (sent_s + costs.read_s(len(batch)), _Event.READ, reads, batch))
        if kind == _Event.READ:
            for call in members:
                ended_s = on_core(at_s, costs.gateway_call_s * (1 - _BEFORE_READ))
                elapsed_s[call] = ended_s - began_s[call] + costs.call_time_s
    counted = sorted(elapsed_s[int(calls * _WARM_UP_SHARE) :])
    users_a_read = calls / reads
    return Played(
        p50_s=percentile(counted, 0.5),
        p99_s=percentile(counted, 0.99),
        users_a_read=users_a_read,
        gateway_cores=calls_per_s * costs.gateway_s(users_a_read),
        feature_server_cores=calls_per_s * costs.feature_server_s(users_a_read),
    )
