"""Callers of streams whose questions, answers and reads a test moves one by one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from feature_gateway.access.credentials import Credentials
from feature_gateway.access.gate import open_gate
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import DeadlineExceededError
from feature_gateway.grpc_api.streaming import answer_all
from feature_gateway.grpc_api.untaken import Untaken
from feature_gateway.lookup.lookup import Lookup
from feature_gateway.observer import Observer
from feature_gateway.reads import ReadReport, Served
from row_fakes import row_of_text
from streamflow.features.v1.user_feature_service_pb2 import StreamUserFeaturesRequest, StreamUserFeaturesResponse

MAX_IN_FLIGHT = 4
STALL_S = 5.0


@dataclass(eq=False)
class Read:
    user_id: str
    done: "asyncio.Future[None]"


@dataclass
class Reader:
    """Reads rows when a rule says so; a row is its user's id, some of them longer."""

    live: list[Read] = field(default_factory=list)

    async def row(self, feature_set: FeatureSet, key: RowKey, *, caller_key: str, timeout_s: float) -> Served:
        del feature_set, caller_key
        read = Read(str(key[0]), asyncio.get_running_loop().create_future())
        self.live.append(read)
        try:
            async with asyncio.timeout(timeout_s):
                await read.done
        except TimeoutError:
            raise DeadlineExceededError("late") from None
        finally:
            self.live.remove(read)
        return Served(row_of_text(value_of(read.user_id)), 0.0, 0.0, 1, ReadReport())

    async def rows(self, feature_set: FeatureSet, keys: Sequence[RowKey], **how: Any) -> Sequence[Served]:
        raise NotImplementedError("streams ask for one row at a time")


def value_of(user_id: str) -> str:
    return user_id * (1 + int(user_id[:4]) % 5 * 10)


@dataclass
class Bed:
    """What the streams of a gateway share."""

    lookup: Lookup
    untaken: Untaken
    ending: asyncio.Event = field(default_factory=asyncio.Event)


class Stream:
    """A stream's caller: what it has asked, what the gateway has read of that, and what the caller has taken."""

    def __init__(self, bed: Bed) -> None:
        self.asked: asyncio.Queue[StreamUserFeaturesRequest | None] = asyncio.Queue()
        self.read: dict[int, str] = {}
        """The user of each question that the gateway has read."""
        self.read_after_the_end = 0
        self.offered: list[StreamUserFeaturesResponse] = []
        self.may_take = asyncio.Semaphore(0)
        self.taken = 0
        self.no_more = self.cancelled = False
        self._bed = bed
        self.task = asyncio.ensure_future(self._consume())

    async def _questions(self) -> AsyncIterator[StreamUserFeaturesRequest]:
        while (question := await self.asked.get()) is not None:
            # As many as are unanswered at most, and one is answered only once it is taken.
            assert len(self.read) < self.taken + MAX_IN_FLIGHT
            self.read[question.request_id] = question.request.user_id
            self.read_after_the_end += self._bed.ending.is_set()
            yield question

    async def _consume(self) -> None:
        async for answer in answer_all(
            self._questions(),
            self._bed.lookup,
            credentials=Credentials(open_gate(), ""),
            remaining_s=lambda: None,
            max_in_flight=MAX_IN_FLIGHT,
            ending=self._bed.ending,
            observer=Observer(),
            untaken=self._bed.untaken,
            stall_s=STALL_S,
        ):
            self.offered.append(StreamUserFeaturesResponse.FromString(answer))
            await self.may_take.acquire()
            self.taken += 1

    @property
    def open(self) -> bool:
        return not self.task.done()
