"""Merging: nobody gets another's row, another's error or another's credentials, and nothing waits without need."""

import asyncio

import pytest
from coalescing_fakes import (
    BOUND_S,
    SET_A,
    SET_B,
    Reader,
    begin,
    coalescer_of,
    settle,
)
from feature_gateway.errors import RejectedUpstreamError, UpstreamUnavailableError
from feature_gateway.reads import Served
from row_fakes import values_of


async def test_a_call_that_finds_a_slot_free_goes_at_once_and_alone() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader, slots=2)
    first, second = begin(coalescer, "1"), begin(coalescer, "2")
    await settle()
    assert [read.names for read in reader.reads] == [["1"], ["2"]]
    for read in reader.reads:
        read.succeed()
    assert values_of((await first).row) == ("1/p/a",)
    assert (await second).batch_size == 1


async def test_calls_that_find_all_slots_busy_leave_together_when_one_frees() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    calls = [begin(coalescer, name) for name in "12345678"]
    await settle()
    assert (coalescer.queued, coalescer.in_flight) == (7, 1)
    reader.reads[0].succeed()
    await settle()
    reader.reads[1].succeed()
    await settle()
    reader.reads[2].succeed()
    served = await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["1"], ["2", "3", "4", "5"], ["6", "7", "8"]]
    assert [values_of(one.row)[0] for one in served] == [f"{name}/p/a" for name in "12345678"]
    assert [one.batch_size for one in served] == [1, 4, 4, 4, 4, 3, 3, 3]
    assert (coalescer.queued, coalescer.in_flight) == (0, 0)


async def test_equal_keys_are_asked_for_once() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    calls = [begin(coalescer, name) for name in ("0", "1", "1", "2", "1")]
    await settle()
    reader.reads[0].succeed()
    await settle()
    reader.reads[1].succeed()
    await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["0"], ["1", "2"]]


async def test_sets_and_authorizations_are_never_mixed_and_leave_in_order_of_arrival() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    kinds = [(SET_A, "p"), (SET_A, "q"), (SET_B, "p"), (SET_A, "q"), (SET_A, "p")]
    calls = [begin(coalescer, "0")]
    calls += [
        begin(coalescer, str(number), feature_set=feature_set, authorization=authorization)
        for number, (feature_set, authorization) in enumerate(kinds, start=1)
    ]
    for position in range(4):
        await settle()
        reader.reads[position].succeed()
    await asyncio.gather(*calls)
    assert [(read.names, read.feature_set, read.authorization) for read in reader.reads[1:]] == [
        (["1", "5"], SET_A, "p"),
        (["2", "4"], SET_A, "q"),
        (["3"], SET_B, "p"),
    ]


async def test_a_group_that_does_not_fit_goes_on_behind_older_calls_of_others() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader, max_read_rows=2)
    calls = [begin(coalescer, "0")]
    calls += [begin(coalescer, name) for name in "12"]
    calls += [begin(coalescer, "b", feature_set=SET_B)]
    calls += [begin(coalescer, name) for name in "34"]
    for position in range(4):
        await settle()
        reader.reads[position].succeed()
    await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["0"], ["1", "2"], ["b"], ["3", "4"]]


async def test_a_callers_bad_key_fails_that_caller_alone() -> None:
    reader = Reader(poison=frozenset({"bad"}), automatic=True)
    coalescer = coalescer_of(reader, max_read_rows=8)
    calls = {name: begin(coalescer, name) for name in ("0", "1", "2", "bad", "3", "4")}
    results = await asyncio.gather(*calls.values(), return_exceptions=True)
    for name, result in zip(calls, results, strict=True):
        if name == "bad":
            assert isinstance(result, RejectedUpstreamError)
        else:
            assert isinstance(result, Served)
            assert values_of(result.row) == (f"{name}/p/a",)


async def test_another_failure_is_everyones_and_not_split() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    calls = [begin(coalescer, name) for name in "0123"]
    await settle()
    reader.reads[0].fail(UpstreamUnavailableError("gone"))
    await settle()
    reader.reads[1].fail(UpstreamUnavailableError("gone"))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, UpstreamUnavailableError) for result in results)
    assert len(reader.reads) == 2


async def test_closing_ends_every_call_under_way() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    call = begin(coalescer, "0")
    await settle()
    await coalescer.close()
    with pytest.raises(UpstreamUnavailableError):
        await call


async def test_calls_that_arrive_soon_after_a_read_leave_with_those_that_wait() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    first, waiting = begin(coalescer, "1"), begin(coalescer, "2")
    # Calls gather for as long as the read took.
    await asyncio.wait({first}, timeout=0.05)
    reader.reads[0].succeed()
    await first
    late = begin(coalescer, "3")
    await settle()
    assert [read.names for read in reader.reads] == [["1"], ["2", "3"]]
    reader.reads[1].succeed()
    await waiting
    await late


async def test_a_slot_is_free_at_once_when_no_call_waits() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader)
    first = begin(coalescer, "1")
    await settle()
    reader.reads[0].succeed()
    await first
    second = begin(coalescer, "2")
    for _ in range(3):
        await asyncio.sleep(0)
    assert [read.names for read in reader.reads] == [["1"], ["2"]]
    reader.reads[1].succeed()
    await second


async def test_a_whole_read_that_waits_leaves_ahead_of_the_answers_of_the_read_before() -> None:
    reader = Reader()
    coalescer = coalescer_of(reader, max_read_rows=2)

    async def reads_when_answered() -> int:
        await coalescer.row(SET_A, ("1",), caller_key="p", timeout_s=BOUND_S)
        return len(reader.reads)

    first = asyncio.create_task(reads_when_answered())
    await settle()
    waiting = [begin(coalescer, "2"), begin(coalescer, "3")]
    await settle()
    reader.reads[0].succeed()
    assert await first == 2
    reader.reads[1].succeed()
    await asyncio.gather(*waiting)
