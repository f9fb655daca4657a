"""Callers that give up or run out of time leave nothing behind, and hold up nobody."""

import asyncio

import pytest
from coalescing_fakes import (
    SET_A,
    SET_B,
    Reader,
    begin,
    coalescer_of,
    settle,
)
from feature_gateway.coalescing.batch import Group
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.errors import DeadlineExceededError
from own_time import run_in_own_time
from row_fakes import values_of
from slot_fakes import FixedSlots, TimedReader


async def test_a_caller_that_gives_up_leaves_and_its_work_is_not_sent() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    calls = [begin(coalescer, name) for name in "012"]
    await settle()
    calls[1].cancel()
    await settle()
    assert coalescer.queued == 1
    reader.reads[0].succeed()
    await settle()
    assert reader.reads[1].names == ["2"]
    reader.reads[1].succeed()
    assert values_of((await calls[2]).row) == ("2/p/a",)


async def test_a_read_that_nobody_waits_for_keeps_its_slot_until_its_server_is_free() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    calls = [begin(coalescer, "0"), begin(coalescer, "1")]
    await settle()
    calls[0].cancel()
    await settle()
    assert not reader.reads[0].cancelled
    assert (len(reader.reads), coalescer.in_flight, coalescer.queued) == (1, 1, 1)
    reader.reads[0].succeed()
    await settle()
    assert reader.reads[1].names == ["1"]
    reader.reads[1].succeed()
    assert values_of((await calls[1]).row) == ("1/p/a",)


@pytest.mark.parametrize("timeout_s", [0.001, 600.0])
def test_a_read_that_is_never_answered_is_given_up_soon_after_its_callers(timeout_s: float) -> None:
    reader = Reader()

    async def history() -> None:
        loop = asyncio.get_running_loop()
        coalescer = coalescer_of(reader)
        left = begin(coalescer, "0", timeout_s=timeout_s)
        await settle()
        left.cancel()
        # In time the slot goes to another, and the read has had a fair time.
        served = begin(coalescer, "1", timeout_s=1.0)
        while len(reader.reads) < 2:
            await asyncio.sleep(0.001)
            if loop.time() >= reader.reads[0].timeout_s:
                reader.reads[0].fail(DeadlineExceededError("late"))
        assert 0.25 <= loop.time() < 0.3
        reader.reads[1].succeed()
        assert values_of((await served).row) == ("1/p/a",)

    run_in_own_time(history())
    assert reader.reads[0].timeout_s == max(timeout_s, 0.25)


def test_callers_that_leave_at_once_start_no_more_reads_than_the_server_answers() -> None:
    async def history() -> tuple[int, int]:
        reader = TimedReader(0.005)
        coalescer = Coalescer(FixedSlots(reader), max_read_rows=4, max_queued=100)
        loop = asyncio.get_running_loop()
        while loop.time() < 1:
            for hasty in (begin(coalescer, "1"), begin(coalescer, "2", timeout_s=0.0001)):
                await asyncio.sleep(0)
                hasty.cancel()
            await asyncio.sleep(0.0001)
        return reader.reads, reader.most_under_way

    reads, most_under_way = run_in_own_time(history())
    assert reads <= 200
    assert most_under_way == 1


@pytest.mark.parametrize("steps", range(8))
async def test_a_caller_that_gives_up_at_any_step_of_its_reads_start_frees_the_slot_with_the_server(steps: int) -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    busy, hasty = begin(coalescer, "0"), begin(coalescer, "1")
    await settle()
    reader.reads[0].succeed()
    for _ in range(steps):
        await asyncio.sleep(0)
    hasty.cancel()
    await settle()
    assert values_of((await busy).row) == ("0/p/a",)
    reader.reads[-1].succeed()
    await settle()
    assert (coalescer.queued, coalescer.in_flight) == (0, 0)
    call = begin(coalescer, "2")
    await settle()
    reader.reads[-1].succeed()
    assert values_of((await call).row) == ("2/p/a",)


async def test_a_deadline_that_passes_in_the_queue_ends_the_call_and_nothing_is_sent() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    busy = begin(coalescer, "0")
    await settle()
    with pytest.raises(DeadlineExceededError):
        await begin(coalescer, "1", timeout_s=0.01)
    assert coalescer.queued == 0
    reader.reads[0].succeed()
    await busy
    await settle()
    assert len(reader.reads) == 1


async def test_a_caller_may_give_up_at_the_very_end_of_its_deadline() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    busy, late = begin(coalescer, "busy"), begin(coalescer, "late", timeout_s=0.01)
    others = [begin(coalescer, "other", feature_set=SET_B)]
    await settle()
    # As gRPC does: it ends the call in the round of the loop in which the queue's own timer does.
    asyncio.get_running_loop().call_at(next(iter(coalescer._queue._newcomers[Group(SET_A, "p")])).deadline, late.cancel)
    with pytest.raises(asyncio.CancelledError):
        await late
    assert coalescer.queued == 1
    for read in range(2):
        reader.reads[read].succeed()
        await settle()
    await asyncio.gather(busy, *others)


async def test_a_deadline_that_passes_under_way_ends_that_call_alone() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    busy = begin(coalescer, "0")
    await settle()
    patient, hasty = begin(coalescer, "1"), begin(coalescer, "2", timeout_s=0.05)
    await settle()
    reader.reads[0].succeed()
    await busy
    await settle()
    assert reader.reads[1].names == ["1", "2"]
    # The read has the time of the most patient.
    assert reader.reads[1].timeout_s > 1
    with pytest.raises(DeadlineExceededError):
        await hasty
    reader.reads[1].succeed()
    assert values_of((await patient).row) == ("1/p/a",)
