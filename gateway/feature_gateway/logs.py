"""The form of the gateway's log."""

import logging
import sys
import time
import traceback
from types import TracebackType

_GATEWAY = "feature_gateway"


class _Formatter(logging.Formatter):
    """Shows of an exception its type and where it was raised, not its text: the text may have a user's value.

    At level DEBUG it shows the text too. The texts of OSError are the system's, and are always shown. A message is one
    line, whatever it quotes.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name in logging
        return _one_line(super().formatMessage(record))

    def formatException(  # noqa: N802  # the name in logging
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        if logging.getLogger(_GATEWAY).isEnabledFor(logging.DEBUG):
            return super().formatException(ei)
        parts: list[str] = []
        error, shown = ei[1], set[int]()
        while error is not None and id(error) not in shown:
            shown.add(id(error))
            text = f": {_one_line(str(error))}" if isinstance(error, OSError) else ""
            parts.append("".join((*traceback.format_tb(error.__traceback__), type(error).__qualname__, text)))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(("Traceback (most recent call last):", "\n\n".join(reversed(parts))))


def _one_line(text: str) -> str:
    """Return a text with control characters, line breaks among them, escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def configure_logging() -> None:
    """Log to standard error, one line a message, with UTC times; from libraries only warnings and errors."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Formatter("%(asctime)sZ %(levelname)s %(name)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_GATEWAY).setLevel(logging.INFO)
