"""How the rows of one call are cut into reads."""

import asyncio
from collections.abc import Sequence

import pytest
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.reads import ReadReport
from feature_gateway.values import Row
from own_time import run_in_own_time
from row_fakes import row_of_text
from slot_fakes import FixedSlots

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())


class _Reader:
    """Answers each read after a second, and keeps the names that it read."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        del feature_set, authorization, timeout_s
        self.reads.append([str(name) for (name,) in keys])
        await asyncio.sleep(1)
        return [row_of_text(str(name)) for (name,) in keys], ReadReport()


@pytest.mark.parametrize(
    ("singles", "sizes"),
    # The first single call is read alone, while the others wait: parts of half a read find room beside them.
    [(0, [8, 8, 4]), (1, [1, 8, 8, 4]), (2, [1, 5, 8, 8])],
)
def test_parts_are_whole_reads_unless_other_calls_wait(singles: int, sizes: list[int]) -> None:
    reader = _Reader()

    async def ask() -> None:
        coalescer = Coalescer(FixedSlots(reader), max_read_rows=8, max_queued=100)
        alone = [
            asyncio.ensure_future(coalescer.row(_SET, (f"single {n}",), caller_key="", timeout_s=60))
            for n in range(singles)
        ]
        await asyncio.sleep(0)
        keys = [(str(n),) for n in range(20)]
        rows = await coalescer.rows(_SET, keys, caller_key="", timeout_s=60)
        assert [row.row for row in rows if not isinstance(row, Exception)] == [row_of_text(name) for (name,) in keys]
        await asyncio.gather(*alone)
        await coalescer.close()

    run_in_own_time(ask())
    assert [len(read) for read in reader.reads] == sizes
    assert sum(sizes) == 20 + singles
