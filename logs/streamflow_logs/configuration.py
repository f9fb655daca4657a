"""Sets up `logging` in a process."""

import logging
import os
import sys
from collections.abc import Sequence

from streamflow_logs.counting import CountingHandler
from streamflow_logs.ending import log_uncaught
from streamflow_logs.exceptions import SHOWN
from streamflow_logs.formatters import JsonFormatter, TextFormatter
from streamflow_logs.settings import Format, LogSettings


class _StandardError:
    """Whatever standard error is as a line is written."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(
    settings: LogSettings,
    *,
    own: Sequence[str],
    shown: tuple[type[BaseException], ...] = SHOWN,
) -> None:
    """Write the log to standard error.

    The loggers `own` write from the settings' level on, all others warnings and errors alone, and Python's warnings
    are lines too. What exceptions say is written at level DEBUG alone, except for those of the classes `shown`.
    """
    verbose = settings.level <= logging.DEBUG
    handler = CountingHandler(_StandardError())
    if settings.format is Format.JSON:
        handler.setFormatter(JsonFormatter(verbose=verbose, shown=shown))
        sys.excepthook = log_uncaught
    else:
        colored = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        handler.setFormatter(TextFormatter(verbose=verbose, shown=shown, colored=colored))
    root = logging.getLogger()
    # What an earlier call, or a library's basicConfig, has put there.
    for earlier in [each for each in root.handlers if type(each) in {CountingHandler, logging.StreamHandler}]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(settings.format is Format.JSON)
    for name in own:
        logging.getLogger(name).setLevel(settings.level)
