"""Work that a KeyboardInterrupt does not cut in two."""

import threading
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

_Result = TypeVar("_Result")


def uninterrupted(work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns. An interrupt is raised before `work` begins or after `work` has ended.

    gRPC's channel starts a call and then counts the call. An interrupt between the two leaves a call that never ends,
    and a channel whose `close` never returns. Python raises interrupts in the main thread alone. So another thread does
    the work of the main thread.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return work()
    outcome: Future[_Result] = Future()
    try:
        # The end of a `Thread` object would be one more place where an interrupt can get lost.
        start_new_thread(copy_context().run, (_do, work, outcome))
        return outcome.result()
    except BaseException:
        if not outcome.cancel():
            # Waits for the end of work that has begun.
            outcome.exception()
        raise


def _do(work: Callable[[], _Result], outcome: Future[_Result]) -> None:
    if not outcome.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # raised where the outcome is waited for
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
