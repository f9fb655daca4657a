"""The start of a process of the stack, whatever the file of its last start contains."""

import subprocess
import sys
from pathlib import Path

import pytest

_TIMEOUT_S = 30


def _started(note: Path) -> str:
    command = [sys.executable, "-m", "streamflow_local.reclaim", str(note), "/bin/echo", "started"]
    # A group of its own, as the supervisor gives each process.
    result = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S, start_new_session=True
    )
    return result.stdout


def test_a_process_is_started_and_its_group_noted(tmp_path: Path) -> None:
    note = tmp_path / "note"
    assert _started(note) == "started\n"
    assert int(note.read_text()) > 0
    assert _started(note) == "started\n"


def test_a_note_that_cannot_be_written_keeps_no_process_from_starting(tmp_path: Path) -> None:
    assert _started(tmp_path / "not there" / "note") == "started\n"


@pytest.mark.parametrize("left", ["", "no number"])
def test_a_note_cut_short_keeps_no_process_from_starting(tmp_path: Path, left: str) -> None:
    note = tmp_path / "note"
    note.write_text(left)
    assert _started(note) == "started\n"
    assert int(note.read_text()) > 0
