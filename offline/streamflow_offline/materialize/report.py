"""What a run did and found, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.window import Mode


@dataclass(frozen=True, kw_only=True)
class ViewReport:
    """What a run did for one feature view, and how Redis then compares with PostgreSQL."""

    view: str

    mode: Mode
    """What the view was written by; an incremental run without a mark to go on from is full."""

    start: datetime
    end: datetime
    """The interval of event timestamps that Feast's registry now has as materialized."""

    written: int
    """Rows written to Redis."""

    duration_s: float
    """How long writing took, in seconds."""

    departed: int
    """Users removed from Redis, because PostgreSQL holds no row of them any more."""

    later_rows: int
    """Rows in PostgreSQL that are dated after now, and so not in Redis."""

    users: int
    """Users with a row in PostgreSQL that is not dated after now."""

    newest: datetime | None
    """The newest event timestamp of these rows; None without a row."""

    users_online: int
    """Those of the users whom Redis has."""

    newest_online: datetime | None
    """The newest event timestamp in Redis; None without a user."""

    missing: int
    """Users whom Redis does not have."""

    older: int
    """Users of whom Redis has an older row."""

    newer: int
    """Users of whom Redis has a newer row than PostgreSQL."""

    @property
    def fresh(self) -> bool:
        """Whether Redis has each user's row of the newest event timestamp."""
        return not (self.missing or self.older or self.newer)


class FreshnessError(JobError):
    """After a run, Redis is not what PostgreSQL is; `reports` are what the run would have returned."""

    def __init__(self, reports: Sequence[ViewReport]) -> None:
        self.reports = tuple(reports)
        behind = [report for report in self.reports if not report.fresh]
        found = "; ".join(
            f"of {report.view}'s {report.users:,} users, {report.missing:,} are missing in Redis, {report.older:,} "
            f"have an older row and {report.newer:,} a newer one"
            for report in behind
        )
        if all(report.mode is Mode.WINDOW for report in behind):
            advice = "the window leaves rows out that Redis lacks; run `offline materialize`"
        else:
            advice = (
                "something else wrote to or removed from this Redis meanwhile; see that nothing does, that its "
                "maxmemory-policy is noeviction, and run `offline materialize` again"
            )
        super().__init__(f"{found}: {advice}")


def as_json(reports: Sequence[ViewReport]) -> dict[str, Any]:
    """Return the content of the JSON report: `fresh`, and under `views` each view's fields."""
    return {
        "fresh": all(report.fresh for report in reports),
        "views": [{**asdict(report), "fresh": report.fresh} for report in reports],
    }
