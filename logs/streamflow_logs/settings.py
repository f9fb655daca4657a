"""The two variables of the log."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FORMAT = "STREAMFLOW_LOG_FORMAT"
LEVEL = "STREAMFLOW_LOG_LEVEL"

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Format(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogSettingError(ValueError):
    """A variable of the log has a value that it can't have; the message names both."""


@dataclass(frozen=True)
class LogSettings:
    """The form and the level of a process's log."""

    format: Format = Format.TEXT

    level: int = logging.INFO
    """The lowest level of the project's own lines that is written, as `logging` has it."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "LogSettings":
        """Return the settings of an environment; raise LogSettingError for one that can't be used."""
        form, level = environment.get(FORMAT) or Format.TEXT, environment.get(LEVEL) or "info"
        if form not in set(Format):
            raise LogSettingError(f"{FORMAT} is {form!r}; set it to {' or '.join(Format)}")
        if level not in LEVELS:
            raise LogSettingError(f"{LEVEL} is {level!r}; set it to one of {', '.join(LEVELS)}")
        return cls(Format(form), LEVELS[level])
