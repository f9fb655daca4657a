"""Whatever callers and reads do, every caller gets one answer, and its own."""

import asyncio
from typing import TYPE_CHECKING

from coalescing_fakes import (
    BOUND_S,
    SET_A,
    SET_B,
    Reader,
    begin,
    coalescer_of,
    is_overload,
    row_named,
    settle,
)
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.errors import GatewayError, RejectedUpstreamError, UpstreamUnavailableError
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from feature_gateway.reads import Served

_USERS = ("u1", "u2", "u3", "bad")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.sampled_from(_USERS), st.sampled_from("pq"), st.sampled_from([0, 1])),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("succeed"), st.integers(0, 30)),
        st.tuples(st.just("fail"), st.integers(0, 30)),
        st.tuples(st.just("settle")),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(steps=_steps, slots=st.integers(1, 3), max_read_rows=st.integers(1, 4), max_queued=st.integers(1, 6))
def test_whatever_happens_every_caller_gets_one_answer_and_its_own(
    steps: list[tuple[object, ...]], slots: int, max_read_rows: int, max_queued: int
) -> None:
    asyncio.run(_any_history(steps, slots, max_read_rows, max_queued))


_Calls = list[tuple[str, str, FeatureSet, "asyncio.Task[Served]"]]


async def _any_history(steps: list[tuple[object, ...]], slots: int, max_read_rows: int, max_queued: int) -> None:
    reader = Reader(poison=frozenset({"bad"}))
    coalescer = coalescer_of(reader, slots=slots, max_read_rows=max_read_rows, max_queued=max_queued)
    calls: _Calls = []
    for step in steps:
        await _take(step, coalescer, reader, calls)
        assert coalescer.queued <= max_queued
        assert reader.under_way <= slots
    async with asyncio.timeout(BOUND_S):
        while coalescer.in_flight or not all(task.done() for *_, task in calls):
            for read in reader.reads:
                read.succeed()
            await settle()
    cancels = any(step[0] == "cancel" for step in steps)
    failures = any(step[0] == "fail" for step in steps)
    for name, authorization, feature_set, task in calls:
        _check_answer(task, name, authorization, feature_set, cancels=cancels, failures=failures)
    await settle()
    assert (coalescer.queued, coalescer.in_flight, reader.under_way) == (0, 0, 0)
    assert reader.most_under_way <= slots
    for read in reader.reads:
        assert len(read.names) == len(set(read.names)) <= max_read_rows


async def _take(step: tuple[object, ...], coalescer: Coalescer, reader: Reader, calls: _Calls) -> None:
    match step:
        case ("call", str(name), str(authorization), int(which)):
            feature_set = (SET_A, SET_B)[which]
            task = begin(coalescer, name, feature_set=feature_set, authorization=authorization)
            calls.append((name, authorization, feature_set, task))
        case ("cancel", int(position)) if calls:
            calls[position % len(calls)][3].cancel()
        case ("succeed", int(position)) if reader.reads:
            reader.reads[position % len(reader.reads)].succeed()
        case ("fail", int(position)) if reader.reads:
            reader.reads[position % len(reader.reads)].fail(UpstreamUnavailableError("gone"))
        case _:
            await settle()


def _check_answer(
    task: "asyncio.Task[Served]",
    name: str,
    authorization: str,
    feature_set: FeatureSet,
    *,
    cancels: bool,
    failures: bool,
) -> None:
    if task.cancelled():
        assert cancels
        return
    error = task.exception()
    if error is None:
        assert name != "bad"
        assert task.result().row == row_named(name, authorization, feature_set)
        return
    assert isinstance(error, GatewayError)
    if isinstance(error, RejectedUpstreamError):
        assert name == "bad"
    elif isinstance(error, UpstreamUnavailableError):
        assert failures
    else:
        assert is_overload(error)
