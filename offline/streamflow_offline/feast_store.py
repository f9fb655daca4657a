"""Feast, opened on the feature repository with the connections of this process."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import streamflow_repo
from psycopg import sql
from streamflow_repo.settings.connections import JOB_REDIS_TIMEOUT_S, REGISTRY_SCHEMA, feast_environment
from streamflow_repo.settings.postgres_url import open_postgres

from streamflow_offline.errors import JobError

if TYPE_CHECKING:
    from feast import FeatureStore

FEATURE_REPO = Path(streamflow_repo.__file__).parent.parent
"""The folder of feature_store.yaml."""

# Any number of our own: PostgreSQL's advisory locks are numbers, shared by all who use the database.
_FEAST_JOB_LOCK = 7_345_001


def job_environment(*, postgres_url: str, redis_url: str) -> dict[str, str]:
    """Return what feature_store.yaml reads, for a job: with time for large writes to Redis."""
    return feast_environment(postgres_url=postgres_url, redis_url=redis_url, redis_timeout_s=JOB_REDIS_TIMEOUT_S)


@contextmanager
def open_store(*, postgres_url: str, redis_url: str) -> Iterator["FeatureStore"]:
    """Yield Feast's store for jobs, whose settings stay what they are whatever the environment becomes."""
    # Importing Feast takes seconds, which commands that don't use it should not.
    from feast import FeatureStore  # noqa: PLC0415
    from feast.infra.registry.sql import SqlRegistry  # noqa: PLC0415

    with environment_of(job_environment(postgres_url=postgres_url, redis_url=redis_url)):
        store = FeatureStore(repo_path=str(FEATURE_REPO))
    try:
        yield store
    finally:
        # Feast has no call that closes its registry.
        if isinstance(store.registry, SqlRegistry):
            store.registry.write_engine.dispose()
            store.registry.read_engine.dispose()


@contextmanager
def exclusive(postgres_url: str, *, on_wait: Callable[[], None] | None = None) -> Iterator[psycopg.Connection]:
    """Hold the lock of Feast's writers for a block, so that two applies or materializations never interleave.

    Yields the connection that holds it; waits while another job does, and calls `on_wait` before it does. Raises
    JobError when PostgreSQL can't be reached.
    """
    with connected(postgres_url) as connection:
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (_FEAST_JOB_LOCK,)).fetchone()
        if taken != (True,):
            if on_wait is not None:
                on_wait()
            connection.execute("SELECT pg_advisory_lock(%s)", (_FEAST_JOB_LOCK,))
        # IF NOT EXISTS alone would ask for the right to create schemas even where it is there.
        if connection.execute("SELECT to_regnamespace(%s) IS NULL", (REGISTRY_SCHEMA,)).fetchone() == (True,):
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(REGISTRY_SCHEMA)))
        try:
            yield connection
        finally:
            # The server notices a closed connection only after a while, and the next job would wait for that.
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", (_FEAST_JOB_LOCK,))


@contextmanager
def undisturbed(postgres_url: str, *, timeout_s: float) -> Iterator[None]:
    """Let no apply or materialization begin during a block; waits for one that runs. Several blocks may at once.

    Raises JobError when one still runs after `timeout_s`, and when PostgreSQL can't be reached.
    """
    with connected(postgres_url) as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{round(timeout_s * 1000)}ms",))
        try:
            connection.execute("SELECT pg_advisory_lock_shared(%s)", (_FEAST_JOB_LOCK,))
        except psycopg.errors.LockNotAvailable as error:
            raise JobError(
                f"an apply or a materialization has been running for {timeout_s:g} s; try again when it has ended"
            ) from error
        yield


@contextmanager
def connected(postgres_url: str) -> Iterator[psycopg.Connection]:
    """Yield an autocommit connection; raise JobError, without the password, when PostgreSQL can't be reached."""
    try:
        connection = open_postgres(postgres_url, timeout_s=10)
    except psycopg.Error as error:
        raise JobError(f"PostgreSQL can't be reached: {error}; check POSTGRES_URL") from error
    with connection:
        yield connection


@contextmanager
def environment_of(values: dict[str, str]) -> Iterator[None]:
    """Have variables in this process's environment for a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
