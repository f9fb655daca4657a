"""Whatever is raised and whoever leaves, every call ends, and its slot is free when its server is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import RejectedUpstreamError, UpstreamUnavailableError
from feature_gateway.observer import Observer
from feature_gateway.reads import ReadReport, Served
from feature_gateway.upstream.feature_server import FeatureServer
from feature_gateway.upstream.pool import ReplicaPool
from feature_gateway.values import Row
from own_time import run_in_own_time
from row_fakes import row_of_text, values_of
from slot_fakes import FixedSlots, TimedReader

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())


@pytest.mark.parametrize("turns", range(4))
def test_a_batch_cancelled_in_any_turn_leaves_no_call_in_the_queue(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def history() -> None:
        reader = TimedReader(0.1)
        coalescer = Coalescer(FixedSlots(reader), max_read_rows=64, max_queued=100)
        busy = asyncio.create_task(coalescer.row(_SET, ("busy",), caller_key="", timeout_s=1))
        await asyncio.sleep(0)
        batch = asyncio.create_task(
            coalescer.rows(_SET, [(str(number),) for number in range(64)], caller_key="", timeout_s=0.5)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)
        assert batch.cancelled()
        assert coalescer.queued == 0
        await busy
        # Past the deadline of all, and nothing was read for nobody.
        await asyncio.sleep(1)
        assert reader.reads == 1

    run_in_own_time(history())
    # Of exceptions that nobody looked at, asyncio complains.
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


class _BrokenReader:
    """Rejects reads of several rows, and fails on others in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.reads = 0

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        del feature_set, authorization, timeout_s
        self.reads += 1
        await asyncio.sleep(0.01)
        if len(keys) > 2:
            raise RejectedUpstreamError("several")
        if ("broken",) in keys:
            raise ZeroDivisionError
        return [row_of_text(str(name)) for (name,) in keys], ReadReport()


def test_an_unforeseen_failure_while_a_read_is_split_fails_its_own_rows_at_once_and_no_others() -> None:
    async def history() -> list[object]:
        loop = asyncio.get_running_loop()
        coalescer = Coalescer(FixedSlots(_BrokenReader()), max_read_rows=64, max_queued=100)
        names = ["0", "1", "broken", "3", "4"]
        calls = [
            asyncio.create_task(coalescer.row(_SET, (name,), caller_key="", timeout_s=600))
            for name in ("first", *names)
        ]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert loop.time() < 1
        assert (coalescer.queued, coalescer.in_flight) == (0, 0)
        return [values_of(one.row)[0] if isinstance(one, Served) else type(one) for one in ended]

    assert run_in_own_time(history()) == ["first", "0", "1", ZeroDivisionError, "3", "4"]


class _TooFewRows(TimedReader):
    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> tuple[list[Row], ReadReport]:
        rows, report = await super().read_rows(feature_set, keys, authorization=authorization, timeout_s=timeout_s)
        return rows[:1], report


class _BrokenObserver(Observer):
    def read_started(self, *, rows: int, queue_s: Sequence[float]) -> None:
        del rows, queue_s
        raise ZeroDivisionError


@pytest.mark.parametrize("observer", [None, _BrokenObserver()])
def test_calls_end_even_if_an_answer_has_too_few_rows_or_the_observer_raises(observer: Observer | None) -> None:
    async def history() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        coalescer = Coalescer(FixedSlots(_TooFewRows(0.01)), max_read_rows=64, max_queued=100, observer=observer)
        calls = [asyncio.create_task(coalescer.row(_SET, (name,), caller_key="", timeout_s=600)) for name in "012"]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert loop.time() < 1
        assert all(isinstance(one, ValueError | ZeroDivisionError | Served) for one in ended)
        await asyncio.sleep(1)
        assert (coalescer.queued, coalescer.in_flight) == (0, 0)

    run_in_own_time(history())


def test_closing_ends_the_calls_that_wait_too_and_begins_no_read() -> None:
    async def history() -> None:
        reader = TimedReader(0.1)
        coalescer = Coalescer(FixedSlots(reader), max_read_rows=2, max_queued=100)
        calls = [
            asyncio.create_task(coalescer.row(_SET, (str(name),), caller_key="", timeout_s=600)) for name in range(9)
        ]
        await asyncio.sleep(0.01)
        assert coalescer.queued == 8
        await coalescer.close()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in ended] == [UpstreamUnavailableError] * 9
        assert (reader.reads, coalescer.queued, coalescer.in_flight) == (1, 0, 0)
        with pytest.raises(UpstreamUnavailableError):
            await coalescer.row(_SET, ("late",), caller_key="", timeout_s=1)

    run_in_own_time(history())


@dataclass
class _Server(FeatureServer):
    """Answers in a millisecond, or never."""

    url: str
    hangs: bool = False
    reads: list[float] = field(default_factory=list)

    async def read_rows(
        self, feature_set: FeatureSet, keys: Sequence[RowKey], *, authorization: str, timeout_s: float
    ) -> list[Row]:
        del feature_set, authorization
        self.reads.append(timeout_s)
        await asyncio.sleep(timeout_s if self.hangs else 0.001)
        return [row_of_text(self.url) for _ in keys]


def test_a_server_that_hangs_and_is_let_go_holds_up_no_call_of_the_others() -> None:
    servers = {url: _Server(url, hangs=url == "a") for url in ("a", "b", "c")}
    answered = 0

    async def history() -> None:
        nonlocal answered
        pool = ReplicaPool(("a", "b"), connect=servers.__getitem__, hedge=False)
        coalescer = Coalescer(pool, max_read_rows=64, max_queued=100)
        calls = [asyncio.create_task(coalescer.row(_SET, (name,), caller_key="", timeout_s=600)) for name in "01"]
        await asyncio.sleep(0.01)
        assert coalescer.in_flight == 1
        pool.set_urls(["b"])
        for name in range(100):
            await coalescer.row(_SET, (str(name),), caller_key="", timeout_s=1)
            answered += 1
        # Calls that wait leave as soon as a server joins, without another call that comes.
        servers["b"].hangs = True
        waiting = [asyncio.create_task(coalescer.row(_SET, (name,), caller_key="", timeout_s=1)) for name in "23"]
        await asyncio.sleep(0.01)
        assert coalescer.queued == 1
        pool.set_urls(["b", "c"])
        assert values_of((await waiting[1]).row) == ("c",)
        await coalescer.close()
        await asyncio.gather(*calls, *waiting, return_exceptions=True)
        await pool.close()

    run_in_own_time(history())
    assert answered == 100
