"""What a run did and found, and the error if Redis and PostgreSQL then differ."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.freshness import Freshness
from streamflow_offline.materialize.plan import Mode


@dataclass(frozen=True, kw_only=True)
class ViewReport(Freshness):
    """What a run did for one feature view, and how Redis then compares with PostgreSQL."""

    view: str

    mode: Mode
    """How the view was written. An incremental run without a usable mark is full."""

    start: datetime
    end: datetime
    """The interval of event timestamps that Feast's registry now has as materialized."""

    written: int
    """Rows written to Redis."""

    duration_s: float
    """How long writing took, in seconds."""

    departed: int
    """Users removed from Redis, because PostgreSQL no longer has a row of them."""

    later_rows: int
    """Rows in PostgreSQL that are dated after now, or after the time of `--as-of`, and so not in Redis."""

    users: int
    """Users with a row in PostgreSQL that is not dated later."""

    newest: datetime | None
    """The newest event timestamp of these rows; None without a row."""


class FreshnessError(JobError):
    """Redis and PostgreSQL differ after a run. `reports` has what the run would have returned."""

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
