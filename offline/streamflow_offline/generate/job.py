"""The job that generates month folders, one block of users after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import polars.selectors as cs

from streamflow_offline.errors import JobError
from streamflow_offline.generate.draws import Columns, draw_months, draw_profiles
from streamflow_offline.generate.ids import MAX_USERS, user_ids
from streamflow_offline.generate.observed import CONTRACTS, NET_SERVICES
from streamflow_offline.generate.randomness import BLOCK_USERS
from streamflow_offline.months import find_months, folder_name
from streamflow_offline.tables import LABELS, PAYMENTS, SUBSCRIPTIONS, SUPPORT, TABLES, USAGE, USERS, Table

_TEXTS = {"user_gender": ("Female", "Male"), "contract_type": CONTRACTS, "net_service": NET_SERVICES}


def generate_months(
    out: Path,
    *,
    users: int = 7043,
    months: int = 2,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write `months` month folders of `users` users each into `out`; return the folders, oldest first.

    The values follow fits to StreamFlow's observed data. The defaults are the observed size: 7,043 users, two months.
    The same arguments write the same bytes. Fewer users are the first users of more; fewer months are the first months
    of more. The first user is always 3413-BMNZE. The folders appear when all are complete; a run that fails leaves no
    folder. Memory does not grow with `users` or `months`.

    `on_progress` is called after each month of a block with the rows written so far and their total, over all files.

    Raises JobError if an argument is out of range, if `out` already holds a month, or if `out` can't be written to.
    """
    with _staged(out, _folder_names(users=users, months=months, seed=seed)) as folders:
        for block, start in enumerate(range(0, users, BLOCK_USERS)):
            ids = user_ids(seed=seed, start=start, count=min(BLOCK_USERS, users - start))
            profiles = draw_profiles(seed=seed, block=block)
            profile_rows = _rows((USERS, SUBSCRIPTIONS), ids, profiles, header=start == 0)
            drawn_months = draw_months(profiles, seed=seed, block=block)
            for month, (folder, columns) in enumerate(zip(folders, drawn_months, strict=False), start=1):
                month_rows = _rows((USAGE, PAYMENTS, SUPPORT, LABELS), ids, columns, header=start == 0)
                for name, rows in (profile_rows | month_rows).items():
                    # Opened for each block: the files of a thousand months are more than a process may hold open.
                    with (folder / f"{name}.csv").open("a", encoding="utf-8", newline="") as file:
                        file.write(rows)
                if on_progress is not None:
                    on_progress((start * months + len(ids) * month) * len(TABLES), users * months * len(TABLES))
    return [out / folder.name for folder in folders]


def _folder_names(*, users: int, months: int, seed: int) -> list[str]:
    if not 1 <= users <= MAX_USERS:
        raise JobError(f"users must be 1 to {MAX_USERS}, the number of different user ids, not {users}")
    if months < 1:
        raise JobError(f"months must be 1 or more, not {months}")
    if seed < 0:
        raise JobError(f"seed must be 0 or more, not {seed}")
    try:
        return [folder_name(index) for index in range(months)]
    except JobError as error:
        raise JobError(f"cannot generate {months} months: {error}") from error


@contextmanager
def _staged(out: Path, names: Sequence[str]) -> Iterator[list[Path]]:
    # Yields folders inside `out` with other names, which move into place when the block ends without an error.
    try:
        held = ", ".join(month.path.name for month in find_months(out))
    except JobError:
        pass  # there is no month yet
    else:
        raise JobError(f"{out} already holds {held}; generate into another folder, or delete these first")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".generating-") as stage:
            folders = [Path(stage, name) for name in names]
            for folder in folders:
                folder.mkdir()
            yield folders
            for folder in folders:
                folder.rename(out / folder.name)
    except OSError as error:
        raise JobError(f"could not write month folders into {out}: {error}") from error


def _rows(tables: Sequence[Table], user_ids: Sequence[str], columns: Columns, *, header: bool) -> dict[str, str]:
    texts = {name: pl.Series(_TEXTS[name]).gather(columns[name].astype(np.uint32)) for name in columns.keys() & _TEXTS}
    # A block is drawn whole, so the last block has more values than users.
    frame = pl.DataFrame(columns | texts).head(len(user_ids)).with_columns(user_id=pl.Series(user_ids))
    if SUBSCRIPTIONS in tables:  # without net service, the plans' fields are empty
        frame = frame.with_columns(pl.when(pl.col("net_service") != "No").then(pl.col("^plan_.*$")))
    frame = frame.with_columns(cs.boolean().replace_strict([False, True], ["False", "True"]))
    return {
        table.name: frame.select("user_id", *(column.name for column in table.csv_columns)).write_csv(
            include_header=header, quote_style="never"
        )
        for table in tables
    }
