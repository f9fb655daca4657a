"""Which part of what PostgreSQL has a run is to bring to Redis."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from streamflow_offline.errors import JobError


class Mode(StrEnum):
    """What a run writes of each user's newest row."""

    FULL = "full"
    """All."""

    INCREMENTAL = "incremental"
    """What was ingested since the last run, and what Redis has with another event timestamp or not at all."""

    WINDOW = "window"
    """What is dated in a window."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a run was asked for."""

    mode: Mode

    start: datetime | None
    """The first moment of the window; None but in mode WINDOW."""

    end: datetime | None
    """The last moment, itself included; None is the moment at which the run reads PostgreSQL."""

    @classmethod
    def of(cls, *, start: datetime | None, end: datetime | None, incremental: bool, now: datetime) -> "Window":
        """Return the window of some options. Raises JobError for options that contradict each other."""
        for name, moment in (("start", start), ("end", end)):
            if moment is not None and moment.tzinfo is None:
                raise JobError(f"the {name} {moment.isoformat()} has no time zone; give it one, such as UTC")
        if incremental and (start or end):
            raise JobError(
                "an incremental run finds its window by itself; leave --incremental out, or --start and --end"
            )
        if end is not None and end > now:
            raise JobError(
                f"the end {end.isoformat()} is in the future, and rows dated after now are not to be served; "
                "leave --end out to cover everything up to now"
            )
        if start is not None and start > (end or now):
            raise JobError(
                f"the window ends before its start {start.isoformat()}; give a --start before --end and before now"
            )
        mode = Mode.INCREMENTAL if incremental else Mode.FULL if start is None else Mode.WINDOW
        return cls(mode=mode, start=start, end=end)
