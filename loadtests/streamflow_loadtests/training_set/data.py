"""Databases of generated users to build training sets from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from psycopg import sql
from streamflow_offline.feast_store import connected, exclusive, open_store
from streamflow_offline.generate.job import generate_months
from streamflow_offline.ingest.job import ingest
from streamflow_repo.definitions.entities import user
from streamflow_repo.definitions.services import churn_v1
from streamflow_repo.definitions.views import payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv

UNUSED_REDIS_URL = "redis://127.0.0.1:1"
"""Feast's settings need the address of an online store. A training set never reads from the online store."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """The amount of data that a benchmark runs on."""

    users: int
    months: int

    @property
    def rows(self) -> int:
        """The number of rows in the training set."""
        return self.users * self.months

    def __str__(self) -> str:
        return f"{self.users:,} x {self.months}"


@contextmanager
def benchmark_database(postgres_url: str, size: Size, *, on_progress: Callable[[str], None]) -> Iterator[str]:
    """Create a database of `size` with the definitions applied, yield its URL, and drop the database at the end.

    Raises JobError when PostgreSQL can't be reached, and psycopg.Error.
    """
    name = f"training_set_benchmark_{size.users}x{size.months}"
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with connected(postgres_url) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            url = urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
            fill_database(url, size, on_progress)
            yield url
        finally:
            connection.execute(drop)


def fill_database(url: str, size: Size, on_progress: Callable[[str], None]) -> None:
    """Load generated users into an empty database and apply the definitions. Raises JobError and psycopg.Error."""
    with TemporaryDirectory(prefix="training-set-benchmark-") as folder:
        on_progress(f"{size}: generating")
        generate_months(Path(folder), users=size.users, months=size.months)
        ingest(Path(folder), postgres_url=url, on_progress=on_progress)
    with exclusive(url) as connection, open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store:
        store.apply([user, payments_agg_90d_fv, subs_profile_fv, support_agg_90d_fv, usage_agg_30d_fv, churn_v1])
        connection.execute("VACUUM ANALYZE")
