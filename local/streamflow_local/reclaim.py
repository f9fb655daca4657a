"""`python -m streamflow_local.reclaim FILE COMMAND …`: become COMMAND, once what its predecessor left behind is gone.

gunicorn's worker outlives a master that is killed, keeps serving, and keeps the port: the next master can't listen, and
no supervisor knows the worker. The process group of each start is noted in FILE; what is left of it is killed first.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_KILL_TIMEOUT_S = 5.0


def main(arguments: Sequence[str]) -> None:
    """Kill the leftovers of the start noted in the first argument, note this one, and execute the rest."""
    note, command = Path(arguments[0]), list(arguments[1:])
    # A disk that is full, or was when the note was written, keeps no server from starting: what can be left behind is
    # a worker that holds the port, and that is seen.
    with suppress(OSError, ValueError):
        _kill_group(int(note.read_text(encoding="utf-8")), command)
    with suppress(OSError):
        note.write_text(str(os.getpgrp()), encoding="utf-8")
    os.execv(command[0], command)  # noqa: S606  # the stack's own command


def _kill_group(group: int, command: list[str]) -> None:
    leftovers = [process for process in psutil.process_iter() if _is_leftover(process, group, command)]
    for process in leftovers:
        process.kill()
    psutil.wait_procs(leftovers, timeout=_KILL_TIMEOUT_S)


def _is_leftover(process: psutil.Process, group: int, command: list[str]) -> bool:
    """Return whether it is of that group and runs that command: a group's number may have been given out anew."""
    try:
        # A script's own command line stands behind its interpreter.
        return os.getpgid(process.pid) == group and process.cmdline()[-len(command) :] == command
    except (psutil.Error, ProcessLookupError):
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
