"""Commands, each with its bound."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
_SHOWN_CHARACTERS = 3000


class CommandError(Exception):
    """A command that the trial needs has failed or taken too long; the message has the end of its output."""


def run(command: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints on standard output; raise CommandError."""
    try:
        result = subprocess.run(
            command, cwd=CHECKOUT, env=environment, check=False, capture_output=True, text=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(command)} took more than {timeout_s:g} s") from error
    if result.returncode:
        said = f"{result.stdout[-_SHOWN_CHARACTERS:]}\n{result.stderr[-_SHOWN_CHARACTERS:]}"
        raise CommandError(f"{' '.join(command)} failed:\n{said.strip()}")
    return result.stdout
