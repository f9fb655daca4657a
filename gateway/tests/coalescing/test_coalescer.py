"""Merging: nobody gets another's row, another's error or another's credentials, and nothing waits without need."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from feature_gateway.coalescing.batch import Group
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.columns import RowKey
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import DeadlineExceededError, GatewayError, RejectedUpstreamError, UpstreamUnavailableError
from feature_gateway.reads import ReadReport, Served
from feature_gateway.values import FeatureStatus, Row
from hypothesis import given, settings
from hypothesis import strategies as st
from own_time import run_in_own_time
from slot_fakes import FixedSlots, TimedReader
from streamflow.features.v1.error_reason_pb2 import ErrorReason

_BOUND_S = 20


def _set(name: str) -> FeatureSet:
    return FeatureSet((ContractFeature(name, "v", name, "String", None),), ())


_A, _B = _set("a"), _set("b")


def _is_overload(error: GatewayError) -> bool:
    return error.reason == ErrorReason.ERROR_REASON_OVERLOADED


def _row(name: str, authorization: str, feature_set: FeatureSet) -> Row:
    return Row((f"{name}/{authorization}/{feature_set.features[0].name}",), (FeatureStatus.PRESENT,), (1,), True)


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
        return [_row(name, authorization, feature_set) for name in names], ReadReport()


def _coalescer(reader: Reader, *, slots: int = 1, max_read_rows: int = 4, max_queued: int = 100) -> Coalescer:
    return Coalescer(FixedSlots(reader, slots), max_read_rows=max_read_rows, max_queued=max_queued)


def _call(
    coalescer: Coalescer,
    name: str,
    *,
    feature_set: FeatureSet = _A,
    authorization: str = "p",
    timeout_s: float = _BOUND_S,
) -> "asyncio.Task[Served]":
    return asyncio.create_task(coalescer.row(feature_set, (name,), authorization=authorization, timeout_s=timeout_s))


async def _settle() -> None:
    """Let everything run that can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_call_that_finds_a_slot_free_goes_at_once_and_alone() -> None:
    reader = Reader()
    coalescer = _coalescer(reader, slots=2)
    first, second = _call(coalescer, "1"), _call(coalescer, "2")
    await _settle()
    assert [read.names for read in reader.reads] == [["1"], ["2"]]
    for read in reader.reads:
        read.succeed()
    assert (await first).row.values == ("1/p/a",)
    assert (await second).batch_size == 1


async def test_calls_that_find_all_slots_busy_leave_together_when_one_frees() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    calls = [_call(coalescer, name) for name in "12345678"]
    await _settle()
    assert (coalescer.queued, coalescer.in_flight) == (7, 1)
    reader.reads[0].succeed()
    await _settle()
    reader.reads[1].succeed()
    await _settle()
    reader.reads[2].succeed()
    served = await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["1"], ["2", "3", "4", "5"], ["6", "7", "8"]]
    assert [one.row.values[0] for one in served] == [f"{name}/p/a" for name in "12345678"]
    assert [one.batch_size for one in served] == [1, 4, 4, 4, 4, 3, 3, 3]
    assert (coalescer.queued, coalescer.in_flight) == (0, 0)


async def test_equal_keys_are_asked_for_once() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    calls = [_call(coalescer, name) for name in ("0", "1", "1", "2", "1")]
    await _settle()
    reader.reads[0].succeed()
    await _settle()
    reader.reads[1].succeed()
    await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["0"], ["1", "2"]]


async def test_sets_and_authorizations_are_never_mixed_and_leave_in_order_of_arrival() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    kinds = [(_A, "p"), (_A, "q"), (_B, "p"), (_A, "q"), (_A, "p")]
    calls = [_call(coalescer, "0")]
    calls += [
        _call(coalescer, str(number), feature_set=feature_set, authorization=authorization)
        for number, (feature_set, authorization) in enumerate(kinds, start=1)
    ]
    for position in range(4):
        await _settle()
        reader.reads[position].succeed()
    await asyncio.gather(*calls)
    assert [(read.names, read.feature_set, read.authorization) for read in reader.reads[1:]] == [
        (["1", "5"], _A, "p"),
        (["2", "4"], _A, "q"),
        (["3"], _B, "p"),
    ]


async def test_a_group_that_does_not_fit_goes_on_behind_older_calls_of_others() -> None:
    reader = Reader()
    coalescer = _coalescer(reader, max_read_rows=2)
    calls = [_call(coalescer, "0")]
    calls += [_call(coalescer, name) for name in "12"]
    calls += [_call(coalescer, "b", feature_set=_B)]
    calls += [_call(coalescer, name) for name in "34"]
    for position in range(4):
        await _settle()
        reader.reads[position].succeed()
    await asyncio.gather(*calls)
    assert [read.names for read in reader.reads] == [["0"], ["1", "2"], ["b"], ["3", "4"]]


async def test_a_callers_bad_key_fails_that_caller_alone() -> None:
    reader = Reader(poison=frozenset({"bad"}), automatic=True)
    coalescer = _coalescer(reader, max_read_rows=8)
    calls = {name: _call(coalescer, name) for name in ("0", "1", "2", "bad", "3", "4")}
    results = await asyncio.gather(*calls.values(), return_exceptions=True)
    for name, result in zip(calls, results, strict=True):
        if name == "bad":
            assert isinstance(result, RejectedUpstreamError)
        else:
            assert isinstance(result, Served)
            assert result.row.values == (f"{name}/p/a",)


async def test_another_failure_is_everyones_and_not_split() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    calls = [_call(coalescer, name) for name in "0123"]
    await _settle()
    reader.reads[0].fail(UpstreamUnavailableError("gone"))
    await _settle()
    reader.reads[1].fail(UpstreamUnavailableError("gone"))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, UpstreamUnavailableError) for result in results)
    assert len(reader.reads) == 2


async def test_a_caller_that_gives_up_leaves_and_its_work_is_not_sent() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    calls = [_call(coalescer, name) for name in "012"]
    await _settle()
    calls[1].cancel()
    await _settle()
    assert coalescer.queued == 1
    reader.reads[0].succeed()
    await _settle()
    assert reader.reads[1].names == ["2"]
    reader.reads[1].succeed()
    assert (await calls[2]).row.values == ("2/p/a",)


async def test_a_read_that_nobody_waits_for_keeps_its_slot_until_its_server_is_free() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    calls = [_call(coalescer, "0"), _call(coalescer, "1")]
    await _settle()
    calls[0].cancel()
    await _settle()
    assert not reader.reads[0].cancelled
    assert (len(reader.reads), coalescer.in_flight, coalescer.queued) == (1, 1, 1)
    reader.reads[0].succeed()
    await _settle()
    assert reader.reads[1].names == ["1"]
    reader.reads[1].succeed()
    assert (await calls[1]).row.values == ("1/p/a",)


@pytest.mark.parametrize("timeout_s", [0.001, 600.0])
def test_a_read_that_is_never_answered_is_given_up_soon_after_its_callers(timeout_s: float) -> None:
    reader = Reader()

    async def history() -> None:
        loop = asyncio.get_running_loop()
        coalescer = _coalescer(reader)
        left = _call(coalescer, "0", timeout_s=timeout_s)
        await _settle()
        left.cancel()
        # In time the slot goes to another, and the read has had a fair time.
        served = _call(coalescer, "1", timeout_s=1.0)
        while len(reader.reads) < 2:
            await asyncio.sleep(0.001)
            if loop.time() >= reader.reads[0].timeout_s:
                reader.reads[0].fail(DeadlineExceededError("late"))
        assert 0.25 <= loop.time() < 0.3
        reader.reads[1].succeed()
        assert (await served).row.values == ("1/p/a",)

    run_in_own_time(history())
    assert reader.reads[0].timeout_s == max(timeout_s, 0.25)


def test_callers_that_leave_at_once_start_no_more_reads_than_the_server_answers() -> None:
    async def history() -> tuple[int, int]:
        reader = TimedReader(0.005)
        coalescer = Coalescer(FixedSlots(reader), max_read_rows=4, max_queued=100)
        loop = asyncio.get_running_loop()
        while loop.time() < 1:
            for hasty in (_call(coalescer, "1"), _call(coalescer, "2", timeout_s=0.0001)):
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
    coalescer = _coalescer(reader)
    busy, hasty = _call(coalescer, "0"), _call(coalescer, "1")
    await _settle()
    reader.reads[0].succeed()
    for _ in range(steps):
        await asyncio.sleep(0)
    hasty.cancel()
    await _settle()
    assert (await busy).row.values == ("0/p/a",)
    reader.reads[-1].succeed()
    await _settle()
    assert (coalescer.queued, coalescer.in_flight) == (0, 0)
    call = _call(coalescer, "2")
    await _settle()
    reader.reads[-1].succeed()
    assert (await call).row.values == ("2/p/a",)


async def test_a_deadline_that_passes_in_the_queue_ends_the_call_and_nothing_is_sent() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    busy = _call(coalescer, "0")
    await _settle()
    with pytest.raises(DeadlineExceededError):
        await _call(coalescer, "1", timeout_s=0.01)
    assert coalescer.queued == 0
    reader.reads[0].succeed()
    await busy
    await _settle()
    assert len(reader.reads) == 1


async def test_a_caller_may_give_up_at_the_very_end_of_its_deadline() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    busy, late = _call(coalescer, "busy"), _call(coalescer, "late", timeout_s=0.01)
    others = [_call(coalescer, "other", feature_set=_B)]
    await _settle()
    # As gRPC does: it ends the call in the round of the loop in which the queue's own timer does.
    asyncio.get_running_loop().call_at(next(iter(coalescer._queue._newcomers[Group(_A, "p")])).deadline, late.cancel)
    with pytest.raises(asyncio.CancelledError):
        await late
    assert coalescer.queued == 1
    for read in range(2):
        reader.reads[read].succeed()
        await _settle()
    await asyncio.gather(busy, *others)


async def test_a_deadline_that_passes_under_way_ends_that_call_alone() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    busy = _call(coalescer, "0")
    await _settle()
    patient, hasty = _call(coalescer, "1"), _call(coalescer, "2", timeout_s=0.05)
    await _settle()
    reader.reads[0].succeed()
    await busy
    await _settle()
    assert reader.reads[1].names == ["1", "2"]
    # The read has the time of the most patient.
    assert reader.reads[1].timeout_s > 1
    with pytest.raises(DeadlineExceededError):
        await hasty
    reader.reads[1].succeed()
    assert (await patient).row.values == ("1/p/a",)


async def test_a_full_queue_refuses_at_once_and_says_when_to_try_again() -> None:
    reader = Reader()
    coalescer = _coalescer(reader, max_queued=2)
    calls = [_call(coalescer, name) for name in "012"]
    await _settle()
    with pytest.raises(GatewayError, check=_is_overload) as raised:
        await coalescer.row(_A, ("3",), authorization="p", timeout_s=_BOUND_S)
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > 0
    reader.reads[0].succeed()
    await _settle()
    reader.reads[1].succeed()
    await asyncio.gather(*calls)


async def test_a_deadline_that_recent_reads_say_cannot_be_met_is_refused_at_once() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    for number in range(10):
        await _slow_read(coalescer, reader, number)
    busy = _call(coalescer, "busy")
    await _settle()
    with pytest.raises(GatewayError, check=_is_overload):
        await coalescer.row(_A, ("late",), authorization="p", timeout_s=0.01)
    reader.reads[-1].succeed()
    await busy
    # With a slot free there is nothing to refuse for, however slow reads were.
    free = _call(coalescer, "free", timeout_s=0.01)
    await _settle()
    reader.reads[-1].succeed()
    assert (await free).row.values == ("free/p/a",)


async def test_a_call_is_not_refused_for_a_read_that_it_has_room_in() -> None:
    reader = Reader()
    coalescer = _coalescer(reader, max_read_rows=2)
    for number in range(10):
        await _slow_read(coalescer, reader, number)
    # Enough for the read under way and one more.
    timeout_s = 2.5 * coalescer._reads.service_time_s
    calls = [_call(coalescer, name, timeout_s=timeout_s) for name in "012"]
    await _settle()
    assert coalescer.queued == 2
    with pytest.raises(GatewayError, check=_is_overload):
        await coalescer.row(_A, ("3",), authorization="p", timeout_s=timeout_s)
    with pytest.raises(GatewayError, check=_is_overload):
        await coalescer.row(_B, ("3",), authorization="p", timeout_s=timeout_s)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_one_slow_read_refuses_nobody() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    await _slow_read(coalescer, reader, 0)
    busy, next_one = _call(coalescer, "busy"), _call(coalescer, "next", timeout_s=0.01)
    await _settle()
    reader.reads[-1].succeed()
    await busy
    await _settle()
    reader.reads[-1].succeed()
    assert (await next_one).row.values == ("next/p/a",)


async def _slow_read(coalescer: Coalescer, reader: Reader, number: int) -> None:
    slow = _call(coalescer, f"slow-{number}")
    await _settle()
    loop = asyncio.get_running_loop()
    loop.call_at(loop.time() + 0.02, reader.reads[-1].succeed)
    await slow


async def test_closing_ends_every_call_under_way() -> None:
    reader = Reader()
    coalescer = _coalescer(reader)
    call = _call(coalescer, "0")
    await _settle()
    await coalescer.close()
    with pytest.raises(UpstreamUnavailableError):
        await call


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
    coalescer = _coalescer(reader, slots=slots, max_read_rows=max_read_rows, max_queued=max_queued)
    calls: _Calls = []
    for step in steps:
        await _take(step, coalescer, reader, calls)
        assert coalescer.queued <= max_queued
        assert reader.under_way <= slots
    async with asyncio.timeout(_BOUND_S):
        while coalescer.in_flight or not all(task.done() for *_, task in calls):
            for read in reader.reads:
                read.succeed()
            await _settle()
    cancels = any(step[0] == "cancel" for step in steps)
    failures = any(step[0] == "fail" for step in steps)
    for name, authorization, feature_set, task in calls:
        _check_answer(task, name, authorization, feature_set, cancels=cancels, failures=failures)
    await _settle()
    assert (coalescer.queued, coalescer.in_flight, reader.under_way) == (0, 0, 0)
    assert reader.most_under_way <= slots
    for read in reader.reads:
        assert len(read.names) == len(set(read.names)) <= max_read_rows


async def _take(step: tuple[object, ...], coalescer: Coalescer, reader: Reader, calls: _Calls) -> None:
    match step:
        case ("call", str(name), str(authorization), int(which)):
            feature_set = (_A, _B)[which]
            task = _call(coalescer, name, feature_set=feature_set, authorization=authorization)
            calls.append((name, authorization, feature_set, task))
        case ("cancel", int(position)) if calls:
            calls[position % len(calls)][3].cancel()
        case ("succeed", int(position)) if reader.reads:
            reader.reads[position % len(reader.reads)].succeed()
        case ("fail", int(position)) if reader.reads:
            reader.reads[position % len(reader.reads)].fail(UpstreamUnavailableError("gone"))
        case _:
            await _settle()


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
        assert task.result().row == _row(name, authorization, feature_set)
        return
    assert isinstance(error, GatewayError)
    if isinstance(error, RejectedUpstreamError):
        assert name == "bad"
    elif isinstance(error, UpstreamUnavailableError):
        assert failures
    else:
        assert _is_overload(error)
