"""The last line of a process that can't go on."""

import logging
import sys
from types import TracebackType
from typing import NoReturn

from streamflow_logs.event import Event
from streamflow_logs.formatters import JsonFormatter

_log = logging.getLogger(__name__)


def writes_json() -> bool:
    """Return whether this process's log is JSON lines, so that nothing else may be written."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def log_failure(text: str, reason: str) -> None:
    """Write why the process fails to standard error: `text` for people, `failed` with its reason for programs."""
    if writes_json():
        _log.critical(Event("failed", reason=reason))
    else:
        sys.stderr.write(f"{text}\n")


def end_with(text: str, reason: str) -> NoReturn:
    """Write what `log_failure` does, and exit with code 1."""
    if writes_json():
        log_failure(text, reason)
        sys.exit(1)
    sys.exit(text)


def log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what ends the process; a `sys.excepthook`."""
    if not issubclass(kind, KeyboardInterrupt):
        _log.critical(Event("failed", reason="unforeseen failure"), exc_info=(kind, error, trace))
