"""Databases with definitions applied, and training sets built and read back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from psycopg import sql
from streamflow_local import postgres
from streamflow_offline.apply.job import on_demand_views_unwarned
from streamflow_offline.feast_store import exclusive, open_store
from streamflow_offline.training_set import TrainingSetReport, TrainingSetRequest
from streamflow_offline.training_set.job import build_training_set

UNUSED_REDIS_URL = "redis://127.0.0.1:1"
"""Feast wants the address of an online store, which no training set is read from."""


def apply_objects(url: str, objects: Sequence[Any]) -> None:
    """Apply Feast objects in this process, which takes a second where `feast apply` takes several."""
    with (
        exclusive(url),
        open_store(postgres_url=url, redis_url=UNUSED_REDIS_URL) as store,
        on_demand_views_unwarned(),
    ):
        store.apply(list(objects))


def database_made_once(socket_dir: Path, name: str, *, template: str, fill: Callable[[str], object]) -> str:
    """Return the URL of a copy of a database, filled when a test first asks for it; for tests that only read it."""
    with psycopg.connect(postgres.url(socket_dir, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            fill(postgres.url(socket_dir, name))
    return postgres.url(socket_dir, name)


def database_name(url: str) -> str:
    """Return the name of the database that a URL is of."""
    return urlsplit(url).path.removeprefix("/")


def build(url: str, out: Path, **request: Any) -> TrainingSetReport:
    """Build a training set of churn_v1, or as asked for; `on_progress` gets the lines of text."""
    on_progress = request.pop("on_progress", None)
    return build_training_set(
        TrainingSetRequest(out=out, **{"service": "churn_v1", **request}),
        postgres_url=url,
        redis_url=UNUSED_REDIS_URL,
        on_progress=on_progress,
    )


def file_bytes(dataset: Path) -> dict[str, bytes]:
    """Return a Parquet dataset's data files."""
    return {path.relative_to(dataset).as_posix(): path.read_bytes() for path in sorted(dataset.rglob("*.parquet"))}


def read_rows(dataset: Path) -> list[dict[str, Any]]:
    """Return a Parquet dataset's rows in the order of its files, each with its partition's day."""
    return [
        {"as_of": path.parent.name.removeprefix("as_of="), **row}
        for path in sorted(dataset.rglob("*.parquet"))
        for row in pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
    ]


def read_schema(dataset: Path) -> pa.Schema:
    """Return the schema that every file of a Parquet dataset has."""
    [schema] = {pyarrow.parquet.read_schema(path) for path in dataset.rglob("*.parquet")}
    return schema


def execute(url: str, *statements: str) -> None:
    """Run statements, each committed."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return a statement's rows."""
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()
