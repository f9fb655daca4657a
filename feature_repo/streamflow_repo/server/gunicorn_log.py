"""gunicorn's and uvicorn's lines in the form of this process's log.

gunicorn has handlers of its own, and Feast hands no logger class to it. uvicorn's worker takes over gunicorn's
handlers.
"""

import logging
from typing import Any

from gunicorn.config import LoggerClass
from gunicorn.glogging import Logger


class AsThisProcess(Logger):  # type: ignore[misc]  # it has no types
    """gunicorn's logger with the handlers of the root logger."""

    def setup(self, cfg: Any) -> None:
        """Read gunicorn's levels, and write to the handlers of the root logger."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers[:] = logging.getLogger().handlers


def log_as_this_process() -> None:
    """Have gunicorn log with AsThisProcess, unless its configuration names another logger class."""
    LoggerClass.default = f"{__name__}.{AsThisProcess.__name__}"
