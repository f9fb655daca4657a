"""How each load tool's command runs: its errors, and its end by a signal."""

import signal
import sys

import typer


def run_command(app: typer.Typer, *, errors: tuple[type[Exception], ...], failed: str = "") -> None:
    """Run an app; one of `errors` becomes one message behind `failed`, without a traceback, and exit code 1."""
    # As Ctrl-C does, so that the servers are ended in either case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except errors as error:
        sys.exit(f"\n{failed}{error}")
