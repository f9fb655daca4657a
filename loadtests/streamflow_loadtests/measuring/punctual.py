"""Has a load client begin its calls when they are due, so that a measurement on a busy machine is of the servers."""

import gc
import os
from contextlib import suppress


def leave_set_up_alone() -> None:
    """Have the garbage collector skip what is there now: a walk through the objects of Feast takes 200 ms."""
    gc.collect()
    gc.freeze()


def keep_to_schedule() -> None:
    """Have nothing hold up this thread that need not: no walk through all objects so far, and no other process.

    The thread gets a real-time priority where the process may give it one; threads and processes that it starts have
    none.
    """
    leave_set_up_alone()
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
