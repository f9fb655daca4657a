"""The log of what runs Feast."""

import os

import psycopg
import redis
from streamflow_logs import SHOWN, LogSettingError, LogSettings, configure

from streamflow_repo.errors import SettingError

# What stores and networks say: hosts, users of databases and causes, and no row.
_SHOWN = (*SHOWN, psycopg.OperationalError, redis.ConnectionError, redis.TimeoutError)
_OWN = ("streamflow_repo", "streamflow_offline", "streamflow_logs")


def configure_logs() -> None:
    """Write this process's log in the form of its environment. Raises SettingError."""
    try:
        configure(LogSettings.from_environment(os.environ), own=_OWN, shown=_SHOWN)
    except LogSettingError as error:
        raise SettingError(str(error)) from error


def said(error: Exception) -> str:
    """Return an exception's type, and its text if that can't have a user's value."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, _SHOWN) else name
