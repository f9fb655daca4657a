"""Month folders: `month_000`, `month_001`, …, each with one CSV file per table, and the day that each stands for."""

import calendar
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from streamflow_offline.errors import JobError

FIRST_MONTH = date(2024, 1, 31)
"""The snapshot day of `month_000`: labels and features carry no date of their own."""

_FOLDER = re.compile(r"month_(\d{3})")
_MAX_MONTHS = 1000


@dataclass(frozen=True, kw_only=True)
class MonthFolder:
    """One month's CSV files."""

    path: Path
    """The folder that holds them."""

    as_of: date
    """The day that its rows are true for: the month's last."""


def as_of(index: int) -> date:
    """Return the snapshot day of `month_{index}`: the last day of the index-th month from January 2024."""
    years, month = divmod(FIRST_MONTH.month - 1 + index, 12)
    year = FIRST_MONTH.year + years
    return date(year, month + 1, calendar.monthrange(year, month + 1)[1])


def folder_name(index: int) -> str:
    """Return the name of the index-th month's folder; raise JobError past `month_999`."""
    if not 0 <= index < _MAX_MONTHS:
        raise JobError(f"there is no folder for month {index}: months go from month_000 to month_{_MAX_MONTHS - 1}")
    return f"month_{index:03d}"


def find_months(path: Path) -> list[MonthFolder]:
    """Return the month folders in `path`, oldest first, or `path` itself if it is one; raise JobError without any."""
    if not path.is_dir():
        raise JobError(f"{path} is not a folder; give one that holds month_000, month_001, …")
    try:
        candidates = [path.resolve()] if _FOLDER.fullmatch(path.resolve().name) else sorted(path.iterdir())
    except OSError as error:
        raise JobError(f"{path} can't be listed: {error.strerror}") from error
    months = [
        MonthFolder(path=candidate, as_of=as_of(int(match.group(1))))
        for candidate in candidates
        if candidate.is_dir() and (match := _FOLDER.fullmatch(candidate.name))
    ]
    if not months:
        raise JobError(f"{path} holds no month folder; they are named month_000, month_001, …")
    return months
