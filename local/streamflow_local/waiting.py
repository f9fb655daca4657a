"""Waiting with a time limit."""

import time
from collections.abc import Callable

_POLL_S = 0.05


def wait_until(
    attempt: Callable[[], object], *, failing: type[Exception], timeout_s: float, complaint: Callable[[], str]
) -> None:
    """Call `attempt` until it raises no `failing`; raise TimeoutError with the complaint after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            attempt()
        except failing as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{complaint()} within {timeout_s:g} s: {error}") from error
            time.sleep(_POLL_S)
        else:
            return
