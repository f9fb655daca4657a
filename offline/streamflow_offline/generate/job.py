"""The job that generates month folders, block of users by block of users."""

from collections.abc import Callable
from pathlib import Path

from streamflow_offline.errors import JobError
from streamflow_offline.generate.behaviour import first_behaviour, next_behaviour
from streamflow_offline.generate.ids import MAX_USERS, user_ids
from streamflow_offline.generate.labels import first_labels, later_labels
from streamflow_offline.generate.profiles import draw_profiles
from streamflow_offline.generate.randomness import BLOCK_USERS
from streamflow_offline.generate.rows import month_rows, profile_rows
from streamflow_offline.generate.writer import append_rows, staged_months
from streamflow_offline.months import folder_name
from streamflow_offline.tables import TABLES


def generate_months(
    out: Path,
    *,
    users: int = 7043,
    months: int = 2,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write `months` month folders of `users` users each into `out`, and return them, oldest first.

    The values follow fits to StreamFlow's observed data: two months of 7,043 users, which are the defaults. The same
    arguments write the same bytes. Fewer users are the first of more, fewer months likewise, and the first user is
    always 3413-BMNZE. The folders appear when all are complete; a run that fails leaves none. Memory does not grow
    with `users` or `months`.

    `on_progress` is called now and then with the rows written so far, of all files together, and with their total.

    Raises JobError if an argument is out of range, or if `out` already holds a month or can't be written to.
    """
    _check(users=users, months=months, seed=seed)
    total_rows = users * months * len(TABLES)
    done_rows = 0
    with staged_months(out, months) as folders:
        for block, start in enumerate(range(0, users, BLOCK_USERS)):
            ids = user_ids(seed=seed, start=start, count=min(BLOCK_USERS, users - start))
            profiles = draw_profiles(seed=seed, block=block)
            unchanging = profile_rows(ids, profiles)
            behaviour = first_behaviour(profiles, seed=seed, block=block)
            churned = first_labels(profiles, seed=seed, block=block)
            for month, folder in enumerate(folders):
                if month > 0:
                    behaviour = next_behaviour(behaviour, seed=seed, block=block, month=month)
                    churned = later_labels(behaviour, seed=seed, block=block, month=month)
                append_rows(folder, unchanging | month_rows(ids, behaviour, churned))
                done_rows += len(ids) * len(TABLES)
                if on_progress is not None:
                    on_progress(done_rows, total_rows)
    return [out / folder.name for folder in folders]


def _check(*, users: int, months: int, seed: int) -> None:
    if not 1 <= users <= MAX_USERS:
        raise JobError(f"users must be 1 to {MAX_USERS}, the number of different user ids, not {users}")
    if months < 1:
        raise JobError(f"months must be 1 or more, not {months}")
    if seed < 0:
        raise JobError(f"seed must be 0 or more, not {seed}")
    try:
        folder_name(months - 1)
    except JobError as error:
        raise JobError(f"cannot generate {months} months: {error}") from error
