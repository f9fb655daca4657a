"""Under a lasting overload, calls that are admitted are answered in time, also where the time of reads varies."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from coalescing_fakes import SET_A, row_named
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError
from feature_gateway.reads import ReadReport
from feature_gateway.values import Row
from own_time import in_own_time
from slot_fakes import FixedSlots

_MAX_READ_ROWS = 4
_TIMEOUT_S = 0.25
_OVERLOAD = 5
_CALLS = 10_000

_RNG = random.Random(1)  # noqa: S311  # repeatable on purpose
_READS: dict[str, Callable[[], float]] = {
    "all alike": lambda: 0.024,
    "from 20 to 30 ms": lambda: _RNG.uniform(0.020, 0.030),
    "with a tail": lambda: 0.021 + _RNG.expovariate(1 / 0.003),
    "one of seven twice as long": lambda: 0.021 + (0.02 if _RNG.random() < 1 / 7 else 0),
    "one of twenty of 70 ms": lambda: 0.021 + (0.05 if _RNG.random() < 1 / 20 else 0),
}


@dataclass
class _Reader:
    draw_s: Callable[[], float]
    took_s: list[float] = field(default_factory=list)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        del timeout_s
        self.took_s.append(self.draw_s())
        await asyncio.sleep(self.took_s[-1])
        return [row_named(str(name), authorization, feature_set) for (name,) in keys], ReadReport()


async def _outcomes(coalescer: Coalescer, *, calls: int, pause_s: float) -> Counter[str]:
    """How calls end that arrive at a steady rate."""
    outcomes = Counter[str]()

    async def call(number: int) -> None:
        try:
            await coalescer.row(SET_A, (f"user-{number}",), caller_key="p", timeout_s=_TIMEOUT_S)
        except GatewayError as error:
            outcomes[error.code.name] += 1
        else:
            outcomes["OK"] += 1

    async with asyncio.TaskGroup() as under_way:
        for number in range(calls):
            under_way.create_task(call(number))
            await asyncio.sleep(pause_s)
    return outcomes


@pytest.mark.parametrize("reads", _READS)
@in_own_time
async def test_most_of_what_can_be_answered_is(reads: str) -> None:
    reader = _Reader(_READS[reads])
    coalescer = Coalescer(FixedSlots(reader, 1), max_read_rows=_MAX_READ_ROWS, max_queued=4096)
    outcomes = await _outcomes(coalescer, calls=_CALLS, pause_s=0.025 / _MAX_READ_ROWS / _OVERLOAD)
    peak = _MAX_READ_ROWS * len(reader.took_s) / sum(reader.took_s)
    assert outcomes["OK"] >= 0.8 * peak * asyncio.get_running_loop().time()
    assert outcomes["RESOURCE_EXHAUSTED"] > _CALLS / 2


@in_own_time
async def test_reads_that_have_become_slower_refuse_nobody_who_has_time_for_two() -> None:
    time = asyncio.get_running_loop().time
    reader = _Reader(lambda: 0.005 if time() < 1 else 0.105)
    coalescer = Coalescer(FixedSlots(reader, 2), max_read_rows=128, max_queued=4096)
    outcomes = await _outcomes(coalescer, calls=1000, pause_s=0.005)
    assert outcomes == {"OK": 1000}
