"""Databases of generated users to build training sets from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from streamflow_repo import JOIN_KEY
from streamflow_repo.entities import user
from streamflow_repo.services import churn_v1
from streamflow_repo.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv

from streamflow_offline.feast_store import connected, exclusive, open_store
from streamflow_offline.generate import generate_months
from streamflow_offline.ingest import create_tables
from streamflow_offline.ingest.schema import AS_OF, INGESTED_AT, column_definitions
from streamflow_offline.months import find_months
from streamflow_offline.tables import TABLES, Table
from streamflow_offline.training_set.benchmark.arms import UNUSED_REDIS_URL

_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much data a benchmark runs on."""

    users: int
    months: int

    @property
    def rows(self) -> int:
        """How many rows the training set has."""
        return self.users * self.months

    def __str__(self) -> str:
        return f"{self.users:,} x {self.months}"


@contextmanager
def benchmark_database(postgres_url: str, size: Size, *, on_progress: Callable[[str], None]) -> Iterator[str]:
    """Yield the URL of a database of `size` with definitions applied, which is made and dropped again.

    Raises JobError when PostgreSQL can't be reached, and psycopg.Error.
    """
    name = sql.Identifier(f"training_set_benchmark_{size.users}x{size.months}")
    with connected(postgres_url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            url = _with_database(postgres_url, name.as_string().strip('"'))
            _fill(url, size, on_progress)
            yield url
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def _with_database(postgres_url: str, name: str) -> str:
    old = str(conninfo_to_dict(postgres_url)["dbname"])
    before, _, after = postgres_url.rpartition(f"/{old}")
    return f"{before}/{name}{after}"


def _fill(url: str, size: Size, on_progress: Callable[[str], None]) -> None:
    with exclusive(url) as connection, TemporaryDirectory(prefix="training-set-benchmark-") as folder:
        create_tables(connection)
        on_progress(f"{size}: generating")
        generate_months(Path(folder), users=size.users, months=size.months)
        for table in TABLES:
            if table.snapshot_name:
                on_progress(f"{size}: loading {table.snapshot_name}")
                _load(connection, table, table.snapshot_name, Path(folder))
        with open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
            store.apply([user, payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv, churn_v1])


def _load(connection: psycopg.Connection, table: Table, snapshot_name: str, folder: Path) -> None:
    """Load a table's snapshots as `offline ingest` leaves them, the index last."""
    name, key = sql.Identifier(snapshot_name), sql.SQL("{}, {}").format(sql.Identifier(JOIN_KEY), sql.Identifier(AS_OF))
    constraint = sql.Identifier(f"{snapshot_name}_pkey")
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(name, constraint))
    definitions = sql.SQL(", ").join(column_definitions(table.csv_columns))
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.snapshot_columns)
    for month in find_months(folder):
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE incoming ({})").format(definitions))
        copied = sql.SQL("COPY incoming FROM STDIN (FORMAT csv, HEADER)")
        with (
            (month.path / f"{table.name}.csv").open("rb") as file,
            connection.cursor() as cursor,
            cursor.copy(copied) as copy,
        ):
            while data := file.read(_READ_BYTES):
                copy.write(data)
        connection.execute(
            sql.SQL("INSERT INTO {} ({}, {}, {}) SELECT {}, {}, {}, now() FROM incoming ORDER BY {}").format(
                *(name, key, columns, sql.Identifier(INGESTED_AT)),
                *(sql.Identifier(JOIN_KEY), sql.Literal(month.as_of), columns, sql.Identifier(JOIN_KEY)),
            )
        )
        connection.execute("DROP TABLE incoming")
    connection.execute(sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(name, constraint, key))
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(name))
