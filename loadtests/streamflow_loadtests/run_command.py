"""How each load tool's command runs: its errors, and its end by a signal."""

import signal
import sys

import typer


def run_command(app: typer.Typer, *, errors: tuple[type[Exception], ...], failed: str = "") -> None:
    """Run an app; one of `errors` becomes one message behind `failed`, without a traceback, and exit code 1.

    So does one of a group of tasks that ran together.
    """
    # As Ctrl-C does, so that the servers are ended in either case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except errors as error:
        sys.exit(f"\n{failed}{error}")
    except ExceptionGroup as group:
        _, unforeseen = group.split(errors)
        if unforeseen is not None:
            raise
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        sys.exit(f"\n{failed}{first}")
