"""The one form of the logs of gateway, feature server and jobs: text for people, JSON lines for programs."""

from streamflow_logs.configuration import configure
from streamflow_logs.ending import end_with, log_failure, log_uncaught, writes_json
from streamflow_logs.event import Event
from streamflow_logs.exceptions import SHOWN
from streamflow_logs.settings import Format, LogSettingError, LogSettings

__all__ = [
    "SHOWN",
    "Event",
    "Format",
    "LogSettingError",
    "LogSettings",
    "configure",
    "end_with",
    "log_failure",
    "log_uncaught",
    "writes_json",
]
