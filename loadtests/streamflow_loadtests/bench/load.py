"""A load of one arm, and what it met with."""

import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psutil

from streamflow_loadtests.bench.workloads import Workload
from streamflow_loadtests.callers.calls import Reply, Values
from streamflow_loadtests.measuring.cpu import Cpu
from streamflow_loadtests.measuring.percentile import percentile


@dataclass(kw_only=True)
class Load:
    """What a load met with."""

    calls: int
    """Right replies."""

    calls_per_s: float
    """Replies, by the time until the last of them: no server gains by calls that are in flight when others end."""

    p50_ms: float
    p99_ms: float | None
    """None of fewer than 100 calls: it would be the longest then."""

    p999_ms: float | None
    """None of fewer than 1,000 calls."""

    max_ms: float | None
    """None from a client that does not tell."""

    failures: Sequence[str] = ()
    """Of each call that failed or was answered wrongly, why."""

    resends: int = 0
    """Requests sent again because the server had closed the connection."""

    @classmethod
    def of(cls, latencies_s: Sequence[float], *, elapsed_s: float, failures: Sequence[str] = ()) -> "Load":
        """Return the figures of calls that took so long, the last of which ended after `elapsed_s`."""
        ordered = sorted(latencies_s) or [0.0]
        return cls(
            calls=len(latencies_s),
            calls_per_s=len(latencies_s) / elapsed_s,
            p50_ms=percentile(ordered, 0.5) * 1000,
            p99_ms=_if_enough(ordered, 0.99),
            p999_ms=_if_enough(ordered, 0.999),
            max_ms=ordered[-1] * 1000,
            failures=failures,
        )


@dataclass(kw_only=True)
class Window:
    """The CPU time of what is watched, from `open` to `close`."""

    watched: Mapping[str, psutil.Process]
    before: Cpu = field(init=False)
    after: Cpu = field(init=False)
    wall_s: float = field(init=False)
    _clients: Sequence[psutil.Process] = field(init=False, default=())
    _opened_s: float = field(init=False)

    def open(self, clients: Sequence[psutil.Process] = ()) -> None:
        """Begin; `clients` are load clients besides this process."""
        self._clients = clients
        self.before, self._opened_s = Cpu.now(self.watched, clients=clients), time.perf_counter()

    def close(self) -> None:
        """End."""
        self.after, self.wall_s = Cpu.now(self.watched, clients=self._clients), time.perf_counter() - self._opened_s


class Loader(Protocol):
    """A client as a load."""

    async def run(self, workload: Workload, window: Window, *, warm_up_s: float, duration_s: float, seed: int) -> Load:
        """Put a server under load, and open the window for the part that is measured."""

    async def close(self) -> None:
        """Close the connections."""


async def warmed(
    drive: Callable[..., Awaitable[Load]], window: Window, *, warm_up_s: float, duration_s: float, seed: int
) -> Load:
    """Drive a load twice, the second time with the window open, and return what it then met with."""
    warm = await drive(duration_s=warm_up_s, seed=-1 - seed)
    window.open()
    load = await drive(duration_s=duration_s, seed=seed)
    window.close()
    load.failures = [*warm.failures, *load.failures]
    return load


@dataclass(kw_only=True)
class Tally:
    """What the calls of a load have come to so far."""

    answers: Mapping[str, Values]
    users: Sequence[str] = field(init=False)
    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.users = list(self.answers)

    def draw(self, drawn: random.Random, users: int) -> Sequence[str]:
        """Return the users that a call asks for."""
        return [drawn.choice(self.users)] if users == 1 else drawn.sample(self.users, users)

    def note(self, user_ids: Sequence[str], *, elapsed_s: float, replies: Sequence[Reply]) -> None:
        """Count an answered call, and compare all of its values with PostgreSQL's."""
        self.latencies_s.append(elapsed_s)
        wrong = fault_of_all(replies, user_ids, self.answers)
        if wrong is not None:
            self.failures.append(wrong)

    def load(self) -> Load:
        """Return the figures; the last call has just ended."""
        elapsed_s = time.perf_counter() - self.began_s
        return Load.of(self.latencies_s, elapsed_s=elapsed_s, failures=self.failures)


def fault_of_all(replies: Sequence[Reply], user_ids: Sequence[str], answers: Mapping[str, Values]) -> str | None:
    """Return what is wrong with what was replied for several users, in their order; None for all right."""
    if len(replies) != len(user_ids):
        return f"asked for {len(user_ids)} users, it answered for {len(replies)}"
    for reply, user_id in zip(replies, user_ids, strict=True):
        if reply.user_id != user_id or reply.values != answers[user_id]:
            return fault(reply, user_id, answers[user_id])
    return None


def fault(reply: Reply, user_id: str, answer: Values) -> str:
    """Return what is wrong with a wrong reply."""
    if reply.user_id != user_id:
        return f"asked for {user_id}, it answered for {reply.user_id}"
    if reply.values.keys() != answer.keys():
        return f"{user_id} has {len(answer)} features, it answered with {len(reply.values)}: {', '.join(reply.values)}"
    name = next(name for name in answer if reply.values[name] != answer[name])
    return f"{name} of {user_id} is {answer[name]!r}, it answered {reply.values[name]!r}"


def _if_enough(ordered: Sequence[float], share: float) -> float | None:
    """Return a percentile in milliseconds; None when so few values can only give their highest."""
    found = percentile(ordered, share)
    return None if math.ceil(share * len(ordered)) == len(ordered) else found * 1000
