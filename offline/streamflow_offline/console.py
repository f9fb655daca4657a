"""The console of the commands: results go to standard output, progress to standard error."""

import sys

from rich.console import Console

# A width for all tables when no terminal gives one.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
progress_out = Console(stderr=True, highlight=False)


def tell(text: str) -> None:
    """Print a line of progress."""
    progress_out.print(text, markup=False)
