"""What a run would take away from users in Redis, and the refusal of a run that would take much."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from streamflow_offline.errors import JobError
from streamflow_offline.materialize.newest import NewestRows

DEFAULT_ALLOWED_SHARE = 0.05
"""The share of a view's users who may depart in one run."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Users of a view in Redis whose newest row PostgreSQL no longer has."""

    view: str

    online: int
    """The view's users in Redis."""

    departed: int
    """Users without any row in PostgreSQL, whom the run deletes."""

    going_back: int
    """Users with only older rows in PostgreSQL, whom the run brings back to the newest of these."""

    @property
    def share(self) -> float:
        """The share of the view's users in Redis who lose their row."""
        return (self.departed + self.going_back) / self.online if self.online else 0.0

    def __str__(self) -> str:
        return (
            f"{self.view}: of {self.online:,} users in Redis, {self.departed:,} would be deleted and "
            f"{self.going_back:,} would go back to an older row"
        )


def check_allowed_share(allowed: float) -> None:
    """Raise JobError unless the share is from 0 to 1."""
    if not 0 <= allowed <= 1:
        raise JobError(f"--allow-departed is {allowed:g}; give a share from 0 to 1, such as 0.05")


def refuse_losses(views: Sequence[Losses], *, allowed: float) -> None:
    """Raise JobError if a view's users would lose their rows by more than the allowed share."""
    much = [losses for losses in views if losses.share > allowed]
    if not much:
        return
    share = max(losses.share for losses in much)
    # Rounded up, so that the share in the advice is enough.
    enough = math.ceil(share * 1000) / 1000
    raise JobError(
        f"{'; '.join(map(str, much))}, because PostgreSQL no longer has the rows that Redis has: up to {share:.1%} of "
        f"a view's users, and {allowed:.1%} are allowed. Nothing was written or deleted. Check that POSTGRES_URL and "
        "REDIS_URL belong together and that the months are complete; if the rows are gone on purpose, run "
        f"`offline materialize --allow-departed {enough:g}`"
    )


def refuse_empty(views: Sequence[NewestRows], *, until: datetime) -> None:
    """Raise JobError if PostgreSQL has no row of a view up to `until`: all of its users would count as departed."""
    empty = [rows for rows in views if not rows.users]
    if not empty:
        return
    named = ", ".join(rows.name + (f" ({rows.later_rows:,} later)" if rows.later_rows else "") for rows in empty)
    raise JobError(
        f"PostgreSQL has no rows up to {until:%Y-%m-%d %H:%M:%S} UTC of {named}. Nothing was written or deleted. Load "
        "months with `offline ingest`, or check POSTGRES_URL; to materialize the other views alone, name each with "
        "--view"
    )
