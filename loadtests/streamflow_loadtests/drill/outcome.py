"""A drill: steady load, a fault, its end, and what the calls were told meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from streamflow_loadtests.bed.bed import Bed
from streamflow_loadtests.callers.calls import Caller
from streamflow_loadtests.callers.errors import CallError
from streamflow_loadtests.callers.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.drill.fault import Fault, Scene, Watch, unwatched
from streamflow_loadtests.measuring.lateness import Lateness

PAST_DEADLINE_LIMIT_S = 0.020
"""How long after its deadline a call may be answered."""

BACK_LIMIT_S = 1.0
"""How long after the end of a fault the last call may fail."""

_BEFORE_S = 1.5
_AFTER_S = 2.5
_WARM_UP_CALLS = 50
_WARM_UP_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a drill."""

    fault: str
    calls: int

    failed: Mapping[str, int]
    """Calls that were told anything but their features, by status code, NOT_FOUND or WRONG."""

    longest_ms: float
    """The longest call."""

    past_deadline_ms: float
    """How long after its deadline the latest call was answered; negative when all were before."""

    back_s: float
    """From the end of the fault until the last call that failed had ended; 0 when none failed after it."""

    client_late_ms: float
    """The longest that the load client itself was late."""

    complaints: Sequence[str]
    """What was not as expected."""

    void: str | None = None
    """Why the drill's times say nothing of the servers; None when they do."""

    @property
    def verdict(self) -> str:
        """What is to be said of it: "yes" when all was as expected."""
        return "; ".join(self.complaints) or self.void or "yes"


async def drill(
    fault: Fault,
    bed: Bed,
    *,
    calls_per_s: float,
    timeout_s: float,
    stretched: float = 1.0,
    watch: Watch = unwatched,
) -> Outcome:
    """Return how calls with a deadline of `timeout_s` end before, during and after a fault.

    The fault lasts `stretched` times as long as in `make drill`.
    """
    calls: list[Call] = []
    ended = asyncio.Event()
    async with fault.stage(bed) as caller:
        load = OpenLoop(
            caller=caller,
            answers=bed.dataset.answers,
            calls_per_s=calls_per_s,
            timeout_s=timeout_s,
            note=calls.append,
        )
        scene = Scene(bed=bed, load=load, stretched=stretched)
        await _warm_up(caller, list(bed.dataset.answers))
        async with watch(bed), asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(ended))
            try:
                await asyncio.sleep(_BEFORE_S)
                async with fault.inject(scene):
                    over_s = time.perf_counter()
                await asyncio.sleep(_AFTER_S)
            finally:
                ended.set()
    return outcome_of(
        fault, calls, over_s=over_s, timeout_s=timeout_s, lateness=load.lateness, complaints=scene.complaints
    )


async def _warm_up(caller: Caller, users: Sequence[str]) -> None:
    """Have every process that a fault has started for itself make its first answers, which are no part of it."""
    for user_id in users[:_WARM_UP_CALLS]:
        with suppress(CallError):
            await caller.ask([user_id], timeout_s=_WARM_UP_TIMEOUT_S)


def outcome_of(
    fault: Fault,
    calls: Sequence[Call],
    *,
    over_s: float,
    timeout_s: float,
    lateness: Lateness | None = None,
    complaints: Sequence[str] = (),
) -> Outcome:
    """Judge the calls of a drill whose fault was over at `over_s`, by `time.perf_counter`.

    A late client voids the times of the drill, not what calls were told.
    """
    lateness = lateness or Lateness()
    failed = Counter(call.outcome for call in calls if call.outcome != OK)
    longest_s = max(call.elapsed_s for call in calls)
    back_s = max((call.ended_s - over_s for call in calls if call.outcome != OK), default=0.0)
    found = [f"{count} calls {code}" for code, count in failed.items() if code not in fault.may_fail_as]
    excess_s = longest_s - timeout_s - PAST_DEADLINE_LIMIT_S
    void = lateness.voids(excess_s=excess_s)
    if excess_s > 0 and void is None:
        found.append(f"a call was answered {(longest_s - timeout_s) * 1000:.0f} ms past its deadline")
    if back_s > BACK_LIMIT_S:
        found.append(f"calls failed for {back_s:.1f} s after the fault")
    return Outcome(
        fault=fault.name,
        calls=len(calls),
        failed=dict(failed),
        longest_ms=longest_s * 1000,
        past_deadline_ms=(longest_s - timeout_s) * 1000,
        back_s=max(back_s, 0.0),
        client_late_ms=lateness.begun.max_ms,
        complaints=[*found, *complaints],
        void=void,
    )


def undone(fault: Fault, error: BaseException) -> Outcome:
    """Return the outcome of a drill that could not be done to its end."""
    return Outcome(
        fault=fault.name,
        calls=0,
        failed={},
        longest_ms=0.0,
        past_deadline_ms=0.0,
        back_s=0.0,
        client_late_ms=0.0,
        complaints=[f"the drill failed: {type(error).__name__} {error}".rstrip()],
    )
