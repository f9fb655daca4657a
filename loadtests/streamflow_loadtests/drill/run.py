"""A drill: steady load, a fault, its end, and what the calls were told meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamflow_loadtests.arms import Arm, gateway_caller
from streamflow_loadtests.drill.faults import Fault
from streamflow_loadtests.open_loop import OK, Call, OpenLoop
from streamflow_loadtests.servers import Servers

PAST_DEADLINE_LIMIT_S = 0.020
"""How long after its deadline a call may be answered."""

BACK_LIMIT_S = 1.0
"""How long after the end of a fault the last call may fail."""

_BEFORE_S = 1.5
_AFTER_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a drill."""

    fault: str
    calls: int

    failed: Mapping[str, int]
    """Calls that failed, by status code."""

    longest_ms: float
    """The longest call."""

    past_deadline_ms: float
    """How long after its deadline the latest call was answered; negative when all were before."""

    back_s: float
    """From the end of the fault until the last call that failed had ended; 0 when none failed after it."""

    complaints: Sequence[str]
    """What was not as expected."""


async def drill(fault: Fault, arm: Arm, servers: Servers, *, calls_per_s: float, timeout_s: float) -> Outcome:
    """Return what callers with a deadline of `timeout_s` are told before, during and after a fault."""
    caller = gateway_caller(arm)
    load = OpenLoop(caller=caller, answers=arm.answers, calls_per_s=calls_per_s, timeout_s=timeout_s)
    feature_servers = [spec.name for spec in arm.processes if spec.name.startswith("feature-server")]
    ended = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run(ended))
            try:
                await asyncio.sleep(_BEFORE_S)
                async with fault.inject(servers, feature_servers):
                    over_s = time.perf_counter()
                await asyncio.sleep(_AFTER_S)
            finally:
                ended.set()
    finally:
        await caller.close()
    return outcome_of(fault, load.calls, over_s=over_s, timeout_s=timeout_s)


def outcome_of(fault: Fault, calls: Sequence[Call], *, over_s: float, timeout_s: float) -> Outcome:
    """Judge the calls of a drill whose fault was over at `over_s`, by `time.perf_counter`."""
    failed = Counter(call.outcome for call in calls if call.outcome != OK)
    longest_s = max(call.elapsed_s for call in calls)
    back_s = max((call.ended_s - over_s for call in calls if call.outcome != OK), default=0.0)
    complaints = [f"{count} calls {code}" for code, count in failed.items() if code not in fault.may_fail_as]
    if longest_s > timeout_s + PAST_DEADLINE_LIMIT_S:
        complaints.append(f"a call was answered {(longest_s - timeout_s) * 1000:.0f} ms past its deadline")
    if back_s > BACK_LIMIT_S:
        complaints.append(f"calls failed for {back_s:.1f} s after the fault")
    return Outcome(
        fault=fault.name,
        calls=len(calls),
        failed=dict(failed),
        longest_ms=longest_s * 1000,
        past_deadline_ms=(longest_s - timeout_s) * 1000,
        back_s=max(back_s, 0.0),
        complaints=complaints,
    )
