"""Calls that could not be answered in time are refused at once, and no others."""

import asyncio

import pytest
from coalescing_fakes import (
    BOUND_S,
    SET_A,
    SET_B,
    Reader,
    begin,
    coalescer_of,
    is_overload,
    settle,
)
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.errors import GatewayError
from row_fakes import values_of


async def test_a_full_queue_refuses_at_once_and_says_when_to_try_again() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader, max_queued=2)
    calls = [begin(coalescer, name) for name in "012"]
    await settle()
    with pytest.raises(GatewayError, check=is_overload) as raised:
        await coalescer.row(SET_A, ("3",), caller_key="p", timeout_s=BOUND_S)
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > 0
    reader.reads[0].succeed()
    await settle()
    reader.reads[1].succeed()
    await asyncio.gather(*calls)


async def test_a_deadline_that_recent_reads_say_cannot_be_met_is_refused_at_once() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    for number in range(10):
        await _slow_read(coalescer, reader, number)
    busy = begin(coalescer, "busy")
    await settle()
    with pytest.raises(GatewayError, check=is_overload):
        await coalescer.row(SET_A, ("late",), caller_key="p", timeout_s=0.01)
    reader.reads[-1].succeed()
    await busy
    # With a slot free there is nothing to refuse for, however slow reads were.
    free = begin(coalescer, "free", timeout_s=0.01)
    await settle()
    reader.reads[-1].succeed()
    assert values_of((await free).row) == ("free/p/a",)


async def test_a_call_is_not_refused_for_a_read_that_it_has_room_in() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader, max_read_rows=2)
    for number in range(10):
        await _slow_read(coalescer, reader, number)
    # Enough for the read under way and one more.
    timeout_s = 1.25 * coalescer._reads.times.of_reads_s(2)
    calls = [begin(coalescer, name, timeout_s=timeout_s) for name in "012"]
    await settle()
    assert coalescer.queued == 2
    with pytest.raises(GatewayError, check=is_overload):
        await coalescer.row(SET_A, ("3",), caller_key="p", timeout_s=timeout_s)
    with pytest.raises(GatewayError, check=is_overload):
        await coalescer.row(SET_B, ("3",), caller_key="p", timeout_s=timeout_s)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_one_slow_read_refuses_nobody() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    await _slow_read(coalescer, reader, 0)
    busy, next_one = begin(coalescer, "busy"), begin(coalescer, "next", timeout_s=0.01)
    await settle()
    reader.reads[-1].succeed()
    await busy
    await settle()
    reader.reads[-1].succeed()
    assert values_of((await next_one).row) == ("next/p/a",)


async def _slow_read(coalescer: Coalescer, reader: Reader, number: int) -> None:
    slow = begin(coalescer, f"slow-{number}")
    await settle()
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + 0.02, reader.reads[-1].succeed)
    await slow
