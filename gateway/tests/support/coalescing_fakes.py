"""Reads that end when a test says so, and what begins calls of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import GatewayError, RejectedUpstreamError
from feature_gateway.reads import ReadReport, Served
from feature_gateway.values import Row
from row_fakes import row_of_text
from slot_fakes import FixedSlots
from streamflow.features.v1.error_reason_pb2 import ErrorReason

BOUND_S = 20


def set_named(name: str) -> FeatureSet:
    return FeatureSet((ContractFeature(name, "v", name, "String", None),), ())


SET_A, SET_B = set_named("a"), set_named("b")


def is_overload(error: GatewayError) -> bool:
    return error.reason == ErrorReason.ERROR_REASON_OVERLOADED


def row_named(name: str, authorization: str, feature_set: FeatureSet) -> Row:
    return row_of_text(f"{name}/{authorization}/{feature_set.features[0].name}")


@dataclass
class Read:
    """A read under way, ended by the test."""

    feature_set: FeatureSet
    names: list[str]
    authorization: str
    timeout_s: float
    done: "asyncio.Future[None]"
    cancelled: bool = False

    def succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass
class Reader:
    """An upstream whose reads end when the test says so; names in `poison` are rejected."""

    poison: frozenset[str] = frozenset()
    automatic: bool = False
    reads: list[Read] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        names = [str(name) for (name,) in keys]
        read = Read(feature_set, names, authorization, timeout_s, asyncio.get_running_loop().create_future())
        self.reads.append(read)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.automatic:
                await asyncio.sleep(0)
            else:
                await read.done
        except asyncio.CancelledError:
            read.cancelled = True
            raise
        finally:
            self.under_way -= 1
        if self.poison & set(names):
            raise RejectedUpstreamError("poison")
        return [row_named(name, authorization, feature_set) for name in names], ReadReport()


def coalescer_of(reader: Reader, *, slots: int = 1, max_read_rows: int = 4, max_queued: int = 100) -> Coalescer:
    return Coalescer(FixedSlots(reader, slots), max_read_rows=max_read_rows, max_queued=max_queued)


def begin(
    coalescer: Coalescer,
    name: str,
    *,
    feature_set: FeatureSet = SET_A,
    authorization: str = "p",
    timeout_s: float = BOUND_S,
) -> "asyncio.Task[Served]":
    return asyncio.create_task(coalescer.row(feature_set, (name,), caller_key=authorization, timeout_s=timeout_s))


async def settle() -> None:
    """Let everything run that can without time passing; a slot frees after up to 40 turns in which calls gather."""
    for _ in range(60):
        await asyncio.sleep(0)
