"""A line of the log, as text and as JSON."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from streamflow_logs.counting import COUNT
from streamflow_logs.event import Event
from streamflow_logs.exceptions import SHOWN, one_line, without_texts
from streamflow_logs.trace import trace_id

_COLORS: Mapping[int, str] = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}


class _Formatter(logging.Formatter):
    """Both forms; `verbose` shows what exceptions say, `shown` are the classes that are always shown so."""

    def __init__(self, *, verbose: bool = False, shown: tuple[type[BaseException], ...] = SHOWN) -> None:
        super().__init__()
        self._verbose = verbose
        self._shown = shown

    def _event(self, record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
        name, fields = self._said(record)
        count = getattr(record, COUNT, None)
        return name, fields if count is None else {**fields, "count": count}

    def _said(self, record: logging.LogRecord) -> tuple[str, Mapping[str, object]]:
        if isinstance(record.msg, Event):
            return record.msg.name, record.msg.fields
        text = record.getMessage()
        # asyncio's first line says what happened, and the others show objects, exceptions' texts included. A message
        # that is a traceback says what its exception says.
        if self._verbose or not (record.name == "asyncio" or text.startswith("Traceback")):
            return text, {}
        return "unforeseen failure" if text.startswith("Traceback") else text.partition("\n")[0], {}

    def _exception(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        if self._verbose:
            return self.formatException(record.exc_info)
        return without_texts(record.exc_info[1], shown=self._shown)


class JsonFormatter(_Formatter):
    """Writes a line as one JSON object: time, level, event, then the event's fields, and logger."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON, in ASCII, without a line break."""
        name, fields = self._event(record)
        line: dict[str, object] = {
            "time": _time(record, "milliseconds"),
            "level": record.levelname.lower(),
            "event": name,
            **fields,
            "logger": record.name,
        }
        if trace := trace_id():
            line.setdefault("trace_id", trace)
        if exception := self._exception(record):
            line["exception"] = exception
        return json.dumps(line, default=str)


class TextFormatter(_Formatter):
    """Writes a line for people: time, level, logger, the event with its fields; a traceback below."""

    def __init__(
        self, *, verbose: bool = False, shown: tuple[type[BaseException], ...] = SHOWN, colored: bool = False
    ) -> None:
        """Create a formatter; `colored` is for a terminal."""
        super().__init__(verbose=verbose, shown=shown)
        self._colored = colored

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line, and the lines of its traceback."""
        name, fields = self._event(record)
        if (trace := trace_id()) and "trace_id" not in fields:
            fields = {**fields, "trace_id": trace}
        color = _COLORS.get(record.levelno) if self._colored else None
        level = f"\x1b[{color}m{record.levelname}\x1b[0m" if color else record.levelname
        line = f"{_time(record, 'seconds')} {level} {record.name} {one_line(str(Event(name, **fields)))}"
        exception = self._exception(record)
        return f"{line}\n{exception}" if exception else line


def _time(record: logging.LogRecord, precision: str) -> str:
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec=precision)
    return stamp.replace("+00:00", "Z")
