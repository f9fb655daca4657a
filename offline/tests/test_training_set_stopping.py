"""What a job says that was told to stop, whatever the interruption leads to."""

import os
import signal
from pathlib import Path

import psycopg
import pytest
from streamflow_offline.errors import JobError
from streamflow_offline.training_set.failures import explained
from streamflow_offline.training_set.stopping import stop_at_signals


@pytest.mark.usefixtures("unchanged_signals")
def test_an_error_that_an_interruption_has_led_to_is_an_interruption(tmp_path: Path) -> None:
    stop_at_signals()

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise psycopg.ProgrammingError("can't change 'autocommit' now") from None

    with pytest.raises(JobError, match=r"^interrupted; nothing of .*out is written$"), explained(tmp_path / "out", str):
        interrupted()
