"""The measured ways to build a training set. Each runs in its own process."""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from streamflow_offline.feast_store import connected, open_store
from streamflow_offline.tables import LABELS, TABLES
from streamflow_offline.training_set import TrainingSetRequest
from streamflow_offline.training_set.columns import AS_OF, EVENT_TIMESTAMP
from streamflow_offline.training_set.job import build_training_set
from streamflow_offline.training_set.postgres import one_state
from streamflow_repo import JOIN_KEY

from streamflow_loadtests.training_set.data import UNUSED_REDIS_URL

_SERVICE = "churn_v1"
_KILOBYTE = 1024


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run cost."""

    rows: int
    duration_s: float
    """Without the start of Python and without imports."""

    peak_bytes: int
    """The process's memory. PostgreSQL's own memory is not included."""


def measure(arm: str, url: str, folder: Path, *, timeout_s: float) -> Measurement | str:
    """Run an arm in a new process and return its measurement, or the reason why it did not finish."""
    command = [sys.executable, "-m", __spec__.name, arm, url, str(folder)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"not done after {timeout_s:,.0f} s"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return f"failed: {last[0]}"
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def _training_set(url: str, folder: Path) -> Callable[[], int]:
    _import_stores()
    request = TrainingSetRequest(service=_SERVICE, out=folder / "dataset")
    return lambda: int(
        build_training_set(request, postgres_url=url, redis_url=UNUSED_REDIS_URL).manifest["rows"],
    )


def _plain_feast(url: str, folder: Path) -> Callable[[], int]:  # noqa: ARG001  # all arms have one signature
    """Feast's documented way: a DataFrame of entity rows in, a DataFrame of features out."""
    import pandas as pd  # noqa: PLC0415  # other arms do without its memory

    _import_stores()
    with connected(url) as connection:
        query = sql.SQL("SELECT {}, {}, {} FROM {} ORDER BY 2, 1").format(
            *map(sql.Identifier, (JOIN_KEY, AS_OF, LABELS.columns[0].name, str(LABELS.snapshot_name)))
        )
        rows = connection.execute(query).fetchall()
    entities = pd.DataFrame(rows, columns=[JOIN_KEY, EVENT_TIMESTAMP, LABELS.columns[0].name])
    entities[EVENT_TIMESTAMP] = pd.to_datetime(entities[EVENT_TIMESTAMP], utc=True)
    del rows

    def run() -> int:
        with open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
            job = store.get_historical_features(entity_df=entities, features=store.get_feature_service(_SERVICE))
            return len(job.to_df())

    return run


def _handwritten_sql(url: str, folder: Path) -> Callable[[], int]:
    """SQL as written by hand: the newest snapshot of each table, copied to a CSV file."""
    tables = [table for table in TABLES if table.snapshot_name and table is not LABELS]
    probes = sql.SQL(" ").join(
        sql.SQL(
            "LEFT JOIN LATERAL (SELECT {columns} FROM {table} AS s WHERE s.{key} = l.{key} AND s.{as_of} <= l.{as_of}"
            " ORDER BY s.{as_of} DESC LIMIT 1) AS {alias} ON TRUE"
        ).format(
            columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in table.snapshot_columns),
            table=sql.Identifier(str(table.snapshot_name)),
            key=sql.Identifier(JOIN_KEY),
            as_of=sql.Identifier(AS_OF),
            alias=sql.Identifier(table.name),
        )
        for table in tables
    )
    columns = [sql.SQL("l.{}").format(sql.Identifier(name)) for name in (AS_OF, JOIN_KEY, LABELS.columns[0].name)]
    features = [sql.Identifier(table.name, column.name) for table in tables for column in table.snapshot_columns]
    statement = sql.SQL("COPY (SELECT {} FROM {} AS l {} ORDER BY 1, 2) TO STDOUT (FORMAT csv, HEADER)").format(
        sql.SQL(", ").join([*columns, *features]), sql.Identifier(str(LABELS.snapshot_name)), probes
    )

    def run() -> int:
        rows = -1
        with (
            connected(url) as connection,
            # The same session settings as the job. They make this query faster too.
            one_state(connection, schema="public"),
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
            (folder / "rows.csv").open("wb") as file,
        ):
            for data in copy:
                file.write(data)
                rows += 1
        return rows

    return run


def _import_stores() -> None:
    """Import what would otherwise be imported during the measurement."""
    for module in (
        "feast.infra.online_stores.redis",
        "feast.infra.registry.sql",
        "streamflow_offline.training_set.job",
    ):
        importlib.import_module(module)


ARMS: dict[str, Callable[[str, Path], Callable[[], int]]] = {
    "training-set": _training_set,
    "get_historical_features(DataFrame).to_df()": _plain_feast,
    "hand-written SQL, COPY": _handwritten_sql,
}
"""The arms by name. Each prepares a run on a database and returns the run, which returns its number of rows."""

_, PLAIN_FEAST, HANDWRITTEN_SQL = ARMS


def main() -> None:
    """Run one arm in this process and print its measurement."""
    arm, url, folder = sys.argv[1:]
    run = ARMS[arm](url, Path(folder))
    started = time.monotonic()
    rows = run()
    duration_s = time.monotonic() - started
    sys.stdout.write(f"\n{json.dumps({'rows': rows, 'duration_s': duration_s, 'peak_bytes': _peak_bytes()})}\n")


def _peak_bytes() -> int:
    # getrusage reports the parent's peak when that is higher.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * _KILOBYTE


if __name__ == "__main__":
    main()
