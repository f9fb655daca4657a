"""Groups take turns: few callers get their share beside many, and beside callers who are new in each call."""

import asyncio
from collections.abc import Callable
from itertools import count
from time import perf_counter

import pytest
from feature_gateway.coalescing.bag import Bag
from feature_gateway.coalescing.batch import Group, Waiter
from feature_gateway.coalescing.call_queue import CallQueue
from feature_gateway.coalescing.coalescer import Coalescer
from feature_gateway.contract.feature_set import FeatureSet
from feature_gateway.contract.views import ContractFeature
from feature_gateway.errors import GatewayError
from own_time import run_in_own_time
from slot_fakes import FixedSlot, FixedSlots, TimedReader

_SET = FeatureSet((ContractFeature("f", "v", "f", "String", None),), ())
_DEADLINE_S = 0.05
_MEASURED_S = 2.0
_FEW, _MANY = 16, 64


async def _answered(read_s: float, row_s: float, others: Callable[[], str] | None) -> int:
    """Return how many calls of a few callers are answered while many others call with what authorization they have."""
    loop = asyncio.get_running_loop()
    coalescer = Coalescer(FixedSlots(TimedReader(read_s, row_s)), max_read_rows=64, max_queued=4096)
    answers = 0

    async def call_on(name: str, authorization: Callable[[], str]) -> None:
        nonlocal answers
        for number in count():
            if loop.time() >= _MEASURED_S:
                return
            try:
                await coalescer.row(_SET, (f"{name}-{number}",), caller_key=authorization(), timeout_s=_DEADLINE_S)
            except GatewayError as error:
                await asyncio.sleep(error.retry_after_s or 0.001)
            else:
                answers += name.startswith("few")

    callers = [call_on(f"many-{number}", others) for number in range(_MANY)] if others is not None else []
    callers += [call_on(f"few-{number}", lambda: "few") for number in range(_FEW)]
    await asyncio.gather(*callers)
    return answers


# Reads of 16 callers alone take 5.8 ms for each 16 calls; most of it for each read, or most of it for each row.
@pytest.mark.parametrize(("read_s", "row_s"), [(0.0025, 0.00005), (0.0018, 0.00014), (0.001, 0.0002)])
@pytest.mark.parametrize(("which", "least_share"), [("one principal", 0.6), ("a new one in each call", 0.25)])
def test_few_callers_get_their_share_beside_many(which: str, least_share: float, read_s: float, row_s: float) -> None:
    names = count()
    others = (lambda: "many") if which == "one principal" else (lambda: f"new-{next(names)}")
    alone = run_in_own_time(_answered(read_s, row_s, None))
    beside = run_in_own_time(_answered(read_s, row_s, others))
    assert beside >= least_share * alone


def test_a_new_caller_gets_in_beside_patient_callers_that_are_new_in_each_call() -> None:
    async def history() -> float:
        loop = asyncio.get_running_loop()
        coalescer = Coalescer(FixedSlots(TimedReader(0.002)), max_read_rows=64, max_queued=4096)
        names = count()
        ended = asyncio.Event()

        async def flood() -> None:
            while not ended.is_set():
                await coalescer.row(_SET, ("row",), caller_key=f"new-{next(names)}", timeout_s=600)

        async def come(name: str) -> None:
            # All would wait for 128 ms by age, and each gives up long before.
            while not ended.is_set():
                try:
                    await coalescer.row(_SET, (name,), caller_key="few", timeout_s=_DEADLINE_S)
                except GatewayError as error:
                    await asyncio.sleep(error.retry_after_s or 0.001)
                else:
                    ended.set()

        flooding = [asyncio.create_task(flood()) for _ in range(_MANY)]
        await asyncio.sleep(1)
        began = loop.time()
        async with asyncio.timeout(60):
            await asyncio.gather(*(come(str(number)) for number in range(_FEW)))
        took_s = loop.time() - began
        await asyncio.gather(*flooding)
        return took_s

    # Likely at once, and by chance: of 60 s none is needed but a fraction.
    assert run_in_own_time(history()) < 10


def _waiters(count_: int) -> list[Waiter]:
    loop = asyncio.get_running_loop()
    return [Waiter((str(number),), 0.0, 0.0, loop.create_future()) for number in range(count_)]


def _queue_of(groups: int, *, known: bool) -> CallQueue:
    queue = CallQueue(max_read_rows=64, max_calls=10_000)
    for number in range(groups):
        group = Group(_SET, str(number))
        if known:
            queue.answered(group)
        queue.add(group, _waiters(3))
    return queue


def _least_s(act: Callable[[], object], *, rounds: int = 200) -> float:
    """Return the least time of several rounds, which other work on the machine does not lengthen."""
    times = []
    for _ in range(rounds):
        began = perf_counter()
        act()
        times.append(perf_counter() - began)
    return min(times)


@pytest.mark.parametrize(("known", "many"), [(True, 1000), (False, 250)])
async def test_finding_the_next_batch_takes_as_long_among_many_groups_as_among_few(known: bool, many: int) -> None:  # noqa: FBT001
    def dispatch_s(groups: int) -> float:
        queue, slots = _queue_of(groups, known=known), FixedSlots(TimedReader(0), slots=1_000_000)

        def dispatch() -> None:
            batch = queue.take_batch(FixedSlot(slots), 0.0)
            queue.add(batch.group, [waiter for waiters in batch.waiters.values() for waiter in waiters])

        return _least_s(dispatch)

    # Looking at each group would take 50 times as long and more.
    assert dispatch_s(many) < 10 * dispatch_s(5)


async def test_leaving_the_queue_takes_as_long_from_the_back_of_many_as_of_few() -> None:
    def leaving_s(calls: int) -> float:
        queue, group, waiters = CallQueue(max_read_rows=64, max_calls=10_000), Group(_SET, "p"), _waiters(calls)
        queue.answered(group)
        queue.add(group, waiters)
        back = iter(reversed(waiters))
        return _least_s(lambda: queue.remove(group, next(back)), rounds=40)

    # Looking at each call would take 50 times as long and more.
    assert leaving_s(4096) < 10 * leaving_s(40)


async def test_the_groups_that_wait_are_bounded_and_a_group_that_waits_keeps_its_room() -> None:
    queue = _queue_of(256, known=False)
    assert not queue.has_room(Group(_SET, "one more"), 1)
    assert queue.has_room(Group(_SET, "7"), 1)
    queue.answered(Group(_SET, "8"))
    assert queue.has_room(Group(_SET, "one more"), 1)
    assert queue.has_room(Group(_SET, "8"), 10_000 - len(queue))
    assert not queue.has_room(Group(_SET, "8"), 10_001 - len(queue))


async def test_each_group_is_served_within_as_many_turns_as_there_are_groups() -> None:
    queue, slots = _queue_of(20, known=True), FixedSlots(TimedReader(0), slots=1000)
    many = Group(_SET, "many")
    queue.answered(many)
    queue.add(many, _waiters(1000))
    served = [queue.take_batch(FixedSlot(slots), 0.0) for _ in range(22)]
    assert len({batch.group for batch in served[:21]}) == 21
    # A turn beside others is short, a turn alone is not.
    sizes = [len(batch.waiters) for batch in served if batch.group == many]
    assert sizes == [16, 64]


async def test_all_newcomers_together_take_one_turn_and_each_of_them_is_served() -> None:
    queue, slots = _queue_of(50, known=False), FixedSlots(TimedReader(0), slots=1000)
    known = Group(_SET, "known")
    queue.answered(known)
    queue.add(known, _waiters(1000))
    served = [queue.take_batch(FixedSlot(slots), 0.0).group for _ in range(40)]
    assert served.count(known) == 20
    # The oldest at the latest in every second of their turns.
    assert {Group(_SET, str(number)) for number in range(10)} <= set(served)


def test_things_leave_a_bag_in_any_order() -> None:
    bag = Bag[str, int]()
    for number in range(5):
        bag.add(str(number), number)
    for gone in "0420":
        bag.discard(gone)
    assert len(bag) == 2
    assert {bag.pick() for _ in range(100)} == {1, 3}
