"""Knows whether this process was told to stop."""

import signal
import threading
from types import FrameType

told_to_stop = threading.Event()
"""Set once SIGINT or SIGTERM has come."""


def stop_at_signals() -> None:
    """Have SIGTERM interrupt this process as Ctrl-C does: a container is stopped by SIGTERM."""
    told_to_stop.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    told_to_stop.set()
    signal.default_int_handler(number, frame)
