"""What tests share that have a process stopped by signals."""

import signal
from collections.abc import Iterator

import pytest
from streamflow_offline.training_set.stopping import told_to_stop


@pytest.fixture
def unchanged_signals() -> Iterator[None]:
    """Undo what the command does to its process's signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    told_to_stop.clear()
