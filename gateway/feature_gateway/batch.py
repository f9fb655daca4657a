"""Calls that wait, and the reads that answer several of them; times are the event loop's, in seconds."""

import asyncio
from dataclasses import dataclass, field

from feature_gateway.contract import FeatureSet
from feature_gateway.reads import Served


@dataclass(frozen=True, slots=True)
class Group:
    """Whose calls may share a read."""

    feature_set: FeatureSet
    principal: str


@dataclass(slots=True, eq=False)
class Waiter:
    """One call for one user. Times are the event loop's, in seconds."""

    user_id: str
    deadline: float
    arrived: float
    future: asyncio.Future[Served]
    batch: "Batch | None" = None


@dataclass(slots=True, eq=False)
class Batch:
    """A read under way, and those who wait for it."""

    group: Group
    waiters: dict[str, list[Waiter]]
    started: float
    task: asyncio.Task[None] | None = field(default=None)

    @property
    def wanted(self) -> bool:
        """Whether anyone still waits for it."""
        return any(not waiter.future.done() for waiters in self.waiters.values() for waiter in waiters)
