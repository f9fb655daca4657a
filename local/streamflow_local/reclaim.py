"""`python -m streamflow_local.reclaim FILE COMMAND …`: kill the workers of an earlier COMMAND, then execute COMMAND.

If gunicorn's master is killed, its worker keeps serving and keeps the port. The next master then can't listen, and the
supervisor does not know the worker. FILE holds the process group of the last start. The processes that remain in that
group are killed.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_KILL_TIMEOUT_S = 5.0


def main(arguments: Sequence[str]) -> None:
    """Kill what the start in FILE left behind, write this start to FILE, and execute the command."""
    note, command = Path(arguments[0]), list(arguments[1:])
    # A full disk must not stop a server from starting. At worst a worker still holds the port, and the log says so.
    with suppress(OSError, ValueError):
        _kill_group(int(note.read_text(encoding="utf-8")), command)
    with suppress(OSError):
        note.write_text(str(os.getpgrp()), encoding="utf-8")
    os.execv(command[0], command)  # noqa: S606  # a command of the stack


def _kill_group(group: int, command: list[str]) -> None:
    leftovers = [process for process in psutil.process_iter() if _is_leftover(process, group, command)]
    for process in leftovers:
        process.kill()
    psutil.wait_procs(leftovers, timeout=_KILL_TIMEOUT_S)


def _is_leftover(process: psutil.Process, group: int, command: list[str]) -> bool:
    """Return whether a process is in the group and runs the command: the group's number may have been reused."""
    try:
        # The command line of a script begins with its interpreter.
        return os.getpgid(process.pid) == group and process.cmdline()[-len(command) :] == command
    except (psutil.Error, ProcessLookupError):
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
