"""What the commands write: results to standard output and progress to standard error, or all as lines of the log."""

import logging
import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType
from streamflow_logs import Event, log_failure, writes_json

from streamflow_offline.errors import JobError

# A width for all tables when no terminal gives one.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
progress_out = Console(stderr=True, highlight=False)

_log = logging.getLogger(__name__)


def tell(text: str) -> None:
    """Print a line of progress."""
    if writes_json():
        _log.info(Event("progress", detail=text))
    else:
        progress_out.print(text, markup=False)


def show(*parts: RenderableType, events: Iterable[Event], of_users: Iterable[Event] = ()) -> None:
    """Print a result for people, or log what it says as events for programs.

    `of_users` are events with users' ids and values, for level DEBUG.
    """
    if writes_json():
        for event in events:
            _log.info(event)
        for event in of_users:
            _log.debug(event)
        return
    for part in parts:
        if isinstance(part, str):
            out.print(part, soft_wrap=True, markup=False)
        else:
            out.print(part)


def complain(error: Exception) -> None:
    """Print why a command fails."""
    log_failure(f"error: {error}", error.logged if isinstance(error, JobError) else str(error))
